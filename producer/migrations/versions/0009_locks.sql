-- A single event takes the user's lock before it waits for a contact, so that it never keeps a contact that is no longer
-- the user's: see docs/decisions/0023-one-order-of-locks.md.

CREATE OR REPLACE FUNCTION lifecycle_track(
    event_type text, payload jsonb, occurred_at timestamptz, traceparent text
) RETURNS uuid
LANGUAGE plpgsql AS $$
#variable_conflict use_variable
DECLARE
    event_id uuid := lifecycle_event_id();
    user_id CONSTANT text := payload ->> 'user_id';
    named CONSTANT text := lifecycle_checked(event_type, payload);
    trace CONSTANT text := lifecycle_traceparent(traceparent);
    known text;
BEGIN
    IF NOT lifecycle_tellable(occurred_at) THEN
        RAISE invalid_parameter_value USING
            MESSAGE = event_type || ': occurred_at should be within the years 1 to 9999 in UTC';
    END IF;
    IF user_id IS NOT NULL THEN
        SELECT contact_key INTO known FROM outbox_directory WHERE external_id = user_id;
        IF named IS NULL OR known IS DISTINCT FROM named OR EXISTS (SELECT FROM outbox_parked WHERE external_id = user_id) THEN
            -- Whoever parks an event of this user and whoever learns the email come one after the other, and look again.
            -- So does an event without an email: the contact stays this user's while the event waits for it.
            PERFORM pg_advisory_xact_lock(lifecycle_user_lock(user_id));
            SELECT contact_key INTO known FROM outbox_directory WHERE external_id = user_id;
            IF coalesce(named, known) IS NULL THEN
                -- What is parked has to fit into the outbox later, in the transaction of somebody else.
                IF octet_length(payload::text) > 890000 THEN
                    RAISE check_violation USING MESSAGE = event_type || ': the payload is too large';
                END IF;
                INSERT INTO outbox_parked (external_id, id, type, payload, occurred_at, traceparent)
                VALUES (user_id, event_id, event_type, payload, occurred_at, trace);
                RETURN event_id;
            END IF;
            IF named <> known OR known IS NULL THEN
                PERFORM lifecycle_learn(user_id, named);
            END IF;
            PERFORM lifecycle_release(user_id, coalesce(named, known));
        END IF;
    END IF;
    PERFORM lifecycle_write(event_id, event_type, payload, occurred_at, trace, coalesce(named, known));
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
    WHERE known.external_id = user_id AND known.sequence < 9223372036854775807 AND lifecycle_fits(payload)
        AND NOT EXISTS (SELECT FROM outbox_parked WHERE external_id = user_id)
        AND jsonb_typeof(payload -> 'user_id') = 'string' AND NOT payload ? 'email'
        AND amount BETWEEN 0 AND 9007199254740991 AND scale(amount) = 0
        AND lifecycle_tellable(coalesce(occurred_at, now()))
        -- Whoever waits for a row that then is another user's keeps it locked all the same, and locks the user's present
        -- contact after it, in any order. So the common case waits for nobody; a batch has locked the row itself.
        AND (known.xmax = 0 OR known.xmax = pg_current_xact_id()::xid)
        -- Names that spare the pattern, which costs more than all else here. Any other name is as welcome.
        AND (event_type IN ('nova_earned', 'nova_redeemed', 'wallet_pass_installed', 'first_redemption_completed')
            OR event_type ~ '^[a-z][a-z0-9_]{0,99}$')
    RETURNING lifecycle_event_id(), known.contact_key, known.sequence, known.totals
    INTO event_id, key, number, sums;
    IF event_id IS NULL THEN
        RETURN lifecycle_track(event_type, payload, coalesce(occurred_at, now()), traceparent);
    END IF;
    INSERT INTO outbox_events (id, aggregateid, type, sequence, traceparent, payload)
    VALUES (event_id, key, event_type, number, lifecycle_traceparent(traceparent), lifecycle_envelope(
        event_id, event_type, payload, coalesce(occurred_at, now()), key, user_id, number, sums));
    -- Not got: the relay holds it, so it sleeps (see producer/signals.py). Held until the end of the transaction.
    IF NOT pg_try_advisory_xact_lock_shared({asleep_lock}) THEN
        PERFORM pg_notify('{channel}', '');
    END IF;
    RETURN event_id;
END $$;
