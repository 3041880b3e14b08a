-- Bounds of what `track_lifecycle_event` takes. Each function is as it was in 0001 or 0002, but for these checks.

CREATE OR REPLACE FUNCTION lifecycle_check(event_type text, payload jsonb) RETURNS void
LANGUAGE plpgsql IMMUTABLE AS $$
DECLARE
    fault text;
BEGIN
    IF event_type IS NULL OR event_type !~ '^[a-z][a-z0-9_]{0,99}$' THEN
        RAISE invalid_parameter_value USING MESSAGE = 'event_type: should be lower-case words joined by underscores';
    END IF;
    IF payload IS NULL OR jsonb_typeof(payload) <> 'object' THEN
        RAISE invalid_parameter_value USING MESSAGE = event_type || ': the payload should be a JSON object';
    END IF;
    fault := CASE
        WHEN jsonb_typeof(payload -> 'user_id') NOT IN ('string', 'null') OR payload ->> 'user_id' = ''
            THEN 'user_id: should be text'
        -- As in schemas/events.py. It goes into indexes, and to HubSpot as the contact's external id.
        WHEN length(payload ->> 'user_id') > 255 THEN 'user_id: should have at most 255 characters'
        WHEN jsonb_typeof(payload -> 'email') NOT IN ('string', 'null') THEN 'email: should be text'
        -- Before its contact key is made: that of a megabyte of accents takes minutes. No email is longer before it is composed.
        WHEN length(payload ->> 'email') > 1280 THEN 'email: should be an email'
        WHEN payload ->> 'email' IS NULL AND payload ->> 'user_id' IS NULL
            THEN 'email: is missing, and so is user_id, by which it could be known'
        WHEN event_type IN ('nova_earned', 'nova_redeemed')
            AND coalesce(jsonb_typeof(payload -> 'amount_cents') <> 'number', true)
            THEN 'amount_cents: should be a number'
    END;
    IF fault IS NULL AND event_type IN ('nova_earned', 'nova_redeemed') AND NOT (
        (payload ->> 'amount_cents')::numeric BETWEEN 0 AND 9007199254740991
        AND (payload ->> 'amount_cents')::numeric % 1 = 0)
    THEN
        fault := 'amount_cents: should be a whole number from 0 to 2^53 - 1';
    END IF;
    IF fault IS NOT NULL THEN
        RAISE invalid_parameter_value USING MESSAGE = event_type || '.' || fault;
    END IF;
END $$;

-- A replaced function keeps none of its settings: that of 0006 is said again.
CREATE OR REPLACE FUNCTION lifecycle_checked(event_type text, payload jsonb) RETURNS text
LANGUAGE plpgsql IMMUTABLE SET standard_conforming_strings = on AS $$
DECLARE
    named text;
BEGIN
    PERFORM lifecycle_check(event_type, payload);
    named := lifecycle_contact_key(payload ->> 'email');
    IF named !~ '^\S+@[^\s@]+$' OR named ~ '[[:cntrl:]]' OR length(named) > 320 THEN
        RAISE invalid_parameter_value USING MESSAGE = event_type || '.email: should be an email';
    END IF;
    RETURN named;
END $$;

-- Returns whether a time can be told in UTC within the years 1 to 9999: not `infinity`, and nothing before Christ.
CREATE FUNCTION lifecycle_tellable(moment timestamptz) RETURNS boolean
LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$
    SELECT moment >= timestamptz '0001-01-01 00:00:00+00' AND moment < timestamptz '10000-01-01 00:00:00+00'
$$;

CREATE OR REPLACE FUNCTION lifecycle_track(
    event_type text, payload jsonb, occurred_at timestamptz, traceparent text
) RETURNS uuid
LANGUAGE plpgsql AS $$
#variable_conflict use_variable
DECLARE
    event_id uuid := lifecycle_event_id();
    user_id CONSTANT text := payload ->> 'user_id';
    named CONSTANT text := lifecycle_checked(event_type, payload);
    known text;
BEGIN
    IF NOT lifecycle_tellable(occurred_at) THEN
        RAISE invalid_parameter_value USING
            MESSAGE = event_type || ': occurred_at should be within the years 1 to 9999 in UTC';
    END IF;
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
    WHERE known.external_id = user_id AND length(user_id) <= 255
        AND NOT EXISTS (SELECT FROM outbox_parked WHERE external_id = user_id)
        AND jsonb_typeof(payload -> 'user_id') = 'string' AND NOT payload ? 'email'
        AND amount BETWEEN 0 AND 9007199254740991 AND scale(amount) = 0
        AND lifecycle_tellable(coalesce(occurred_at, now()))
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
