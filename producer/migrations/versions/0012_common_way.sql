-- The common way of an event in one statement: docs/decisions/0086-tracking-in-one-statement.md. A replaced function keeps
-- none of its settings, so the rights that 0011 gave it, or did not, are noted before.
SELECT set_config('nerava.rights', CASE WHEN prosecdef THEN 'SECURITY DEFINER' || coalesce((
    SELECT ' SET search_path = ' || substr(one, length('search_path=') + 1) FROM unnest(proconfig) AS one
    WHERE one LIKE 'search_path=%'), '') ELSE '' END, true)
FROM pg_proc WHERE oid = 'track_lifecycle_event(text, jsonb, timestamptz, text)'::regprocedure;

CREATE OR REPLACE FUNCTION track_lifecycle_event(
    event_type text, payload jsonb, occurred_at timestamptz DEFAULT now(), traceparent text DEFAULT NULL
) RETURNS uuid
LANGUAGE plpgsql AS $$
DECLARE
    user_id CONSTANT text := payload ->> 'user_id';
    -- What the event adds to one of the totals: nothing, if it is of another type.
    total CONSTANT text := CASE event_type WHEN 'nova_redeemed' THEN 'nova_redeemed_cents' ELSE 'nova_earned_cents' END;
    -- Not in the statement below: to plan it PostgreSQL may evaluate any part, and this one fails for a text.
    amount CONSTANT numeric := CASE WHEN event_type NOT IN ('nova_earned', 'nova_redeemed') THEN 0
        WHEN payload -> 'amount_cents' BETWEEN '0' AND '9007199254740991' THEN (payload -> 'amount_cents')::numeric END;
    fits boolean := true;
    trace text;
    event_id uuid;
BEGIN
    -- An expression costs more to prepare than to evaluate, so what is seldom needed is not part of the statement. A payload
    -- of this size, not compressed, has beside its user_id no text of more than 255 bytes.
    IF pg_column_size(payload || '{}') > 278 THEN
        fits := lifecycle_fits(payload);
    END IF;
    IF occurred_at IS NULL THEN
        occurred_at := now();
    END IF;
    IF traceparent IS NOT NULL THEN
        trace := lifecycle_traceparent(traceparent);
    END IF;
    -- The common case: a valid event without an email, of a contact's latest user, of whom nothing is parked. All else
    -- goes the longer way, where it is said what is wrong. That a contact has this external_id says what the directory says.
    WITH contact AS (
        UPDATE outbox_contacts AS known SET
            sequence = known.sequence + 1,
            totals = known.totals || jsonb_build_object(total, (known.totals -> total)::numeric + amount)
        WHERE known.external_id = user_id AND known.sequence < 9223372036854775807
            AND jsonb_typeof(known.totals -> total) = 'number'
            AND NOT EXISTS (SELECT FROM outbox_parked WHERE external_id = user_id)
            AND jsonb_typeof(payload -> 'user_id') = 'string' AND NOT payload ? 'email' AND fits
            AND scale(amount) = 0 AND lifecycle_tellable(occurred_at)
            -- Whoever waits for a row that then is another user's keeps it locked all the same, and locks the user's present
            -- contact after it, in any order. So the common case waits for nobody. A batch has locked the row itself; and
            -- a transaction that locked and wrote the row has left its lock's number in it, beside its own. (The number
            -- of several holders may equal xmin by chance: then the statement waits, as the longer way does.)
            AND (known.xmax = 0 OR known.xmax = known.xmin OR known.xmax = pg_current_xact_id()::xid)
            -- Names that spare the pattern, which costs more than all else here. Any other name is as welcome.
            AND (event_type IN ('nova_earned', 'nova_redeemed', 'wallet_pass_installed', 'first_redemption_completed')
                OR event_type ~ '^[a-z][a-z0-9_]{0,99}$')
        RETURNING lifecycle_event_id() AS event, known.contact_key, known.sequence, known.totals
    )
    INSERT INTO outbox_events (id, aggregateid, type, sequence, traceparent, payload)
    SELECT event, contact_key, event_type, sequence, trace, lifecycle_envelope(
        event, event_type, payload, occurred_at, contact_key, user_id, sequence, totals)
    FROM contact RETURNING id INTO event_id;
    IF event_id IS NULL THEN
        RETURN lifecycle_track(event_type, payload, occurred_at, traceparent);
    END IF;
    -- Not got: the relay holds it, so it sleeps (see schemas/outbox.py). Held until the end of the transaction.
    IF NOT pg_try_advisory_xact_lock_shared({asleep_lock}) THEN
        PERFORM pg_notify('{channel}', '') WHERE current_setting('nerava.notify', true) IS DISTINCT FROM 'off';
    END IF;
    RETURN event_id;
END $$;

DO $migration$ BEGIN
    IF current_setting('nerava.rights', true) <> '' THEN
        EXECUTE 'ALTER FUNCTION track_lifecycle_event(text, jsonb, timestamptz, text) ' || current_setting('nerava.rights');
    END IF;
END $migration$;
