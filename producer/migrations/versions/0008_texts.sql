-- Bounds of the texts that `track_lifecycle_event` takes, as schemas/events.py has them, and of the outbox's columns. Each
-- function that is replaced is as it was in 0002 or 0007, but for these.

-- Returns whether the payload's texts are as short as readers take them. One expression: the common way evaluates it.
CREATE FUNCTION lifecycle_fits(payload jsonb) RETURNS boolean
LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$
    SELECT coalesce(greatest(
        length(payload ->> 'user_id'), length(payload ->> 'email'), length(payload ->> 'previous_email'),
        length(payload ->> 'auth_provider'), length(payload ->> 'pass_type'), length(payload ->> 'session_id'),
        length(payload ->> 'merchant_id'), length(payload ->> 'redemption_id'), length(payload ->> 'name'),
        length(payload ->> 'phone'), length(payload ->> 'business_name')), 0) <= 255
$$;

-- Returns a traceparent that can be stored in a header, and NULL for another one: as W3C allows, it is dropped.
CREATE FUNCTION lifecycle_traceparent(given text) RETURNS text
LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$
    SELECT CASE WHEN octet_length(given) <= 255 AND given ~ '^[ -~]*$' THEN given END
$$;

CREATE OR REPLACE FUNCTION lifecycle_check(event_type text, payload jsonb) RETURNS void
LANGUAGE plpgsql IMMUTABLE AS $$
DECLARE
    fault text;
    -- White space in Unicode, which readers trim: see schemas/events.py.
    blank CONSTANT text := E' \t\n\r\f\u000b\u0085\u00a0\u1680\u2000\u2001\u2002\u2003\u2004\u2005\u2006\u2007\u2008\u2009'
        || E'\u200a\u2028\u2029\u202f\u205f\u3000';
BEGIN
    IF event_type IS NULL OR event_type !~ '^[a-z][a-z0-9_]{0,99}$' THEN
        RAISE invalid_parameter_value USING MESSAGE = 'event_type: should be lower-case words joined by underscores';
    END IF;
    IF payload IS NULL OR jsonb_typeof(payload) <> 'object' THEN
        RAISE invalid_parameter_value USING MESSAGE = event_type || ': the payload should be a JSON object';
    END IF;
    fault := CASE
        WHEN jsonb_typeof(payload -> 'user_id') NOT IN ('string', 'null') OR btrim(payload ->> 'user_id', blank) = ''
            THEN 'user_id: should be text'
        WHEN jsonb_typeof(payload -> 'email') NOT IN ('string', 'null') THEN 'email: should be text'
        WHEN payload ->> 'email' IS NULL AND payload ->> 'user_id' IS NULL
            THEN 'email: is missing, and so is user_id, by which it could be known'
        WHEN event_type IN ('nova_earned', 'nova_redeemed')
            AND coalesce(jsonb_typeof(payload -> 'amount_cents') <> 'number', true)
            THEN 'amount_cents: should be a number'
    END;
    IF fault IS NULL AND NOT lifecycle_fits(payload) THEN
        -- Before the contact key is made: that of a megabyte of accents takes minutes.
        SELECT field || ': should have at most 255 characters' INTO fault
        FROM unnest('{user_id,email,previous_email,auth_provider,pass_type,session_id,merchant_id,redemption_id,name,phone,
            business_name}'::text[]) AS field
        WHERE length(payload ->> field) > 255 LIMIT 1;
    END IF;
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
    -- Characters that Python does not print: of control and format, white space, of private use. Readers refuse them.
    unprinted CONSTANT text := '[\u0001-\u0020\u007f-\u00a0\u00ad\u0600-\u0605\u061c\u06dd\u070f\u0890-\u0891\u08e2\u1680\u180e'
        '\u2000-\u200f\u2028-\u202f\u205f-\u2064\u2066-\u206f\u3000\ue000-\uf8ff\ufeff\ufff9-\ufffb\U000110bd\U000110cd'
        '\U00013430-\U00013438\U0001bca0-\U0001bca3\U0001d173-\U0001d17a\U000e0001\U000e0020-\U000e007f'
        '\U000f0000-\U000ffffd\U00100000-\U0010fffd]';
BEGIN
    PERFORM lifecycle_check(event_type, payload);
    named := lifecycle_contact_key(payload ->> 'email');
    IF named !~ '^.+@[^@]+$' OR named ~ unprinted OR length(named) > 320 THEN
        RAISE invalid_parameter_value USING MESSAGE = event_type || '.email: should be an email';
    END IF;
    RETURN named;
END $$;

-- Totals, sequences and parked events that somebody wrote by hand may be anything. An event that can't be counted is
-- published as it is, and readers make it a dead letter: the caller's transaction is not to blame.
CREATE OR REPLACE FUNCTION lifecycle_totals(totals jsonb, event_type text, amount numeric) RETURNS jsonb
LANGUAGE sql STABLE PARALLEL SAFE AS $$
    SELECT CASE
        WHEN event_type NOT IN ('nova_earned', 'nova_redeemed') OR amount IS NULL OR jsonb_typeof(totals) <> 'object'
            THEN totals
        WHEN coalesce(jsonb_typeof(totals -> (event_type || '_cents')), 'null') IN ('number', 'null')
            OR totals ->> (event_type || '_cents') ~ '^[0-9]{1,30}$'
            THEN totals || jsonb_build_object(event_type || '_cents',
                coalesce((totals ->> (event_type || '_cents'))::numeric, 0) + amount)
        ELSE totals END
$$;

CREATE OR REPLACE FUNCTION lifecycle_write(
    event_id uuid, event_type text, event_payload jsonb, occurred_at timestamptz, trace text, key text
) RETURNS void
LANGUAGE plpgsql AS $$
DECLARE
    contact outbox_contacts;
    amount numeric := CASE WHEN event_type IN ('nova_earned', 'nova_redeemed')
        AND jsonb_typeof(event_payload -> 'amount_cents') = 'number'
        THEN trunc((event_payload -> 'amount_cents')::numeric) END;
    none CONSTANT jsonb := '{"nova_earned_cents": 0, "nova_redeemed_cents": 0}';
BEGIN
    IF amount NOT BETWEEN 0 AND 9007199254740991 THEN
        amount := NULL;
    END IF;
    INSERT INTO outbox_contacts AS known (contact_key, sequence, totals)
    VALUES (key, 1, lifecycle_totals(none, event_type, amount))
    ON CONFLICT (contact_key) DO UPDATE SET
        sequence = known.sequence + 1,
        totals = lifecycle_totals(known.totals, event_type, amount)
        WHERE known.sequence < 9223372036854775807
    RETURNING known.* INTO contact;
    IF contact.sequence IS NULL THEN
        RAISE numeric_value_out_of_range USING
            MESSAGE = event_type || ': the sequence of the contact in outbox_contacts is the largest one that there is';
    END IF;
    INSERT INTO outbox_events (id, aggregateid, type, sequence, traceparent, payload)
    VALUES (event_id, key, event_type, contact.sequence, trace, lifecycle_envelope(
        event_id, event_type, event_payload, occurred_at, key, contact.external_id, contact.sequence, contact.totals));
END $$;

-- Writes the parked events of a user, in the order they came. One that is too large for the outbox stays parked: only an
-- earlier version or somebody's hand parked it.
CREATE OR REPLACE FUNCTION lifecycle_release(user_id text, key text) RETURNS void
LANGUAGE plpgsql AS $$
DECLARE
    parked record;
BEGIN
    FOR parked IN
        WITH released AS (
            DELETE FROM outbox_parked WHERE external_id = user_id
            AND octet_length(payload::text) <= 890000 AND octet_length(type) <= 65536
            RETURNING *)
        SELECT * FROM released ORDER BY position
    LOOP
        PERFORM lifecycle_write(parked.id, parked.type, parked.payload, parked.occurred_at,
            lifecycle_traceparent(parked.traceparent), key);
    END LOOP;
END $$;

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
        IF known IS DISTINCT FROM coalesce(named, known, '')
            OR EXISTS (SELECT FROM outbox_parked WHERE external_id = user_id)
        THEN
            -- Whoever parks an event of this user and whoever learns the email come one after the other, and look again.
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

-- The relay reads these texts into its memory. Rows that are there already are not checked, so the lock is short. While it
-- is waited for, nobody can write an event.
SET LOCAL lock_timeout = '10s';
ALTER TABLE outbox_events ADD CONSTRAINT outbox_events_texts_size CHECK (
    octet_length(aggregateid) <= 65536 AND octet_length(type) <= 65536 AND octet_length(traceparent) <= 65536) NOT VALID;
