-- `track_lifecycle_event` made cheap, and `track_lifecycle_events` for a transaction that touches several contacts.
--
-- In a transaction of one event each statement and expression runs for the first time, and to prepare it costs more than
-- to run it. So the common case has as few of them as it can. PostgreSQL inlines functions in SQL like those here.

DO $migration$ BEGIN
    IF to_regprocedure('pg_catalog.uuidv7()') IS NOT NULL THEN
        CREATE OR REPLACE FUNCTION lifecycle_event_id() RETURNS uuid
        LANGUAGE sql VOLATILE PARALLEL SAFE AS $$ SELECT uuidv7() $$;
    END IF;
END $migration$;

-- Returns a contact's totals after an event with this amount.
CREATE FUNCTION lifecycle_totals(totals jsonb, event_type text, amount numeric) RETURNS jsonb
LANGUAGE sql STABLE PARALLEL SAFE AS $$
    SELECT CASE WHEN event_type IN ('nova_earned', 'nova_redeemed')
        THEN totals || jsonb_build_object(event_type || '_cents',
            coalesce((totals ->> (event_type || '_cents'))::numeric, 0) + amount)
        ELSE totals END
$$;

CREATE FUNCTION lifecycle_envelope(
    event_id uuid, event_type text, event_payload jsonb, occurred_at timestamptz,
    key text, user_id text, sequence bigint, totals jsonb
) RETURNS jsonb
LANGUAGE sql STABLE PARALLEL SAFE AS $$
    SELECT jsonb_build_object(
        'id', event_id,
        'type', event_type,
        'schema_version', 1,
        'sequence', sequence,
        'occurred_at', to_char(occurred_at AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"'),
        'contact', jsonb_build_object('email', key, 'external_id', user_id),
        'totals', totals,
        'payload', event_payload)
$$;

-- The advisory lock of a user: see docs/decisions/0004-directory-and-parking.md.
CREATE FUNCTION lifecycle_user_lock(user_id text) RETURNS bigint
LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$
    SELECT hashtextextended('nerava outbox user ' || user_id, 0)
$$;

CREATE OR REPLACE FUNCTION lifecycle_write(
    event_id uuid, event_type text, event_payload jsonb, occurred_at timestamptz, trace text, key text
) RETURNS void
LANGUAGE plpgsql AS $$
DECLARE
    contact outbox_contacts;
    amount CONSTANT numeric := CASE WHEN event_type IN ('nova_earned', 'nova_redeemed')
        THEN trunc((event_payload ->> 'amount_cents')::numeric) END;
    none CONSTANT jsonb := '{"nova_earned_cents": 0, "nova_redeemed_cents": 0}';
BEGIN
    INSERT INTO outbox_contacts AS known (contact_key, sequence, totals)
    VALUES (key, 1, lifecycle_totals(none, event_type, amount))
    ON CONFLICT (contact_key) DO UPDATE SET
        sequence = known.sequence + 1,
        totals = lifecycle_totals(known.totals, event_type, amount)
    RETURNING known.* INTO contact;
    INSERT INTO outbox_events (id, aggregateid, type, sequence, traceparent, payload)
    VALUES (event_id, key, event_type, contact.sequence, trace, lifecycle_envelope(
        event_id, event_type, event_payload, occurred_at, key, contact.external_id, contact.sequence, contact.totals));
END $$;

-- Returns the contact key that the payload names, if any. Raises invalid_parameter_value for what no reader could use.
CREATE FUNCTION lifecycle_checked(event_type text, payload jsonb) RETURNS text
LANGUAGE plpgsql IMMUTABLE AS $$
DECLARE
    named CONSTANT text := lifecycle_contact_key(payload ->> 'email');
BEGIN
    PERFORM lifecycle_check(event_type, payload);
    IF named !~ '^\S+@[^\s@]+$' OR named ~ '[[:cntrl:]]' OR length(named) > 320 THEN
        RAISE invalid_parameter_value USING MESSAGE = event_type || '.email: should be an email';
    END IF;
    RETURN named;
END $$;

-- Tracks an event whatever it is: one with an email, of a user who is not known, of whom something is parked, a bad one.
CREATE FUNCTION lifecycle_track(event_type text, payload jsonb, occurred_at timestamptz, traceparent text) RETURNS uuid
LANGUAGE plpgsql AS $$
#variable_conflict use_variable
DECLARE
    event_id uuid := lifecycle_event_id();
    user_id CONSTANT text := payload ->> 'user_id';
    named CONSTANT text := lifecycle_checked(event_type, payload);
    known text;
BEGIN
    IF user_id IS NOT NULL THEN
        SELECT contact_key INTO known FROM outbox_directory WHERE external_id = user_id;
        IF known IS DISTINCT FROM coalesce(named, known, '')
            OR EXISTS (SELECT FROM outbox_parked WHERE external_id = user_id)
        THEN
            -- Whoever parks an event of this user and whoever learns the email come one after the other, and look again.
            PERFORM pg_advisory_xact_lock(lifecycle_user_lock(user_id));
            SELECT contact_key INTO known FROM outbox_directory WHERE external_id = user_id;
            IF coalesce(named, known) IS NULL THEN
                INSERT INTO outbox_parked (external_id, id, type, payload, occurred_at, traceparent)
                VALUES (user_id, event_id, event_type, payload, occurred_at, traceparent);
                RETURN event_id;
            END IF;
            IF named <> known OR known IS NULL THEN
                PERFORM lifecycle_learn(user_id, named);
            END IF;
            PERFORM lifecycle_release(user_id, coalesce(named, known));
        END IF;
    END IF;
    PERFORM lifecycle_write(event_id, event_type, payload, occurred_at, traceparent, coalesce(named, known));
    IF NOT pg_try_advisory_xact_lock_shared({asleep_lock}) THEN
        PERFORM pg_notify('{channel}', '');
    END IF;
    RETURN event_id;
END $$;

CREATE OR REPLACE FUNCTION track_lifecycle_event(
    event_type text, payload jsonb, occurred_at timestamptz DEFAULT now(), traceparent text DEFAULT NULL
) RETURNS uuid
LANGUAGE plpgsql AS $$
DECLARE
    user_id CONSTANT text := payload ->> 'user_id';
    -- Not in the statement below: to plan it PostgreSQL may evaluate any part, and this one fails for a text.
    amount CONSTANT numeric := CASE WHEN event_type NOT IN ('nova_earned', 'nova_redeemed') THEN 0
        WHEN jsonb_typeof(payload -> 'amount_cents') = 'number' THEN (payload -> 'amount_cents')::numeric END;
    event_id uuid;
    key text;
    number bigint;
    sums jsonb;
BEGIN
    -- The common case: a valid event without an email, of a contact's latest user, of whom nothing is parked. All else
    -- goes the longer way, where it is said what is wrong. That a contact has this external_id says what the directory says.
    UPDATE outbox_contacts AS known
    SET sequence = known.sequence + 1, totals = lifecycle_totals(known.totals, event_type, amount)
    WHERE known.external_id = user_id
        AND NOT EXISTS (SELECT FROM outbox_parked WHERE external_id = user_id)
        AND jsonb_typeof(payload -> 'user_id') = 'string' AND NOT payload ? 'email'
        AND amount BETWEEN 0 AND 9007199254740991 AND scale(amount) = 0
        -- Names that spare the pattern, which costs more than all else here. Any other name is as welcome.
        AND (event_type IN ('nova_earned', 'nova_redeemed', 'wallet_pass_installed', 'first_redemption_completed')
            OR event_type ~ '^[a-z][a-z0-9_]{0,99}$')
    RETURNING lifecycle_event_id(), known.contact_key, known.sequence, known.totals
    INTO event_id, key, number, sums;
    IF event_id IS NULL THEN
        RETURN lifecycle_track(event_type, payload, coalesce(occurred_at, now()), traceparent);
    END IF;
    INSERT INTO outbox_events (id, aggregateid, type, sequence, traceparent, payload)
    VALUES (event_id, key, event_type, number, traceparent, lifecycle_envelope(
        event_id, event_type, payload, coalesce(occurred_at, now()), key, user_id, number, sums));
    -- Not got: the relay holds it, so it sleeps (see producer/signals.py). Held until the end of the transaction.
    IF NOT pg_try_advisory_xact_lock_shared({asleep_lock}) THEN
        PERFORM pg_notify('{channel}', '');
    END IF;
    RETURN event_id;
END $$;
