-- The producing API, for any language: `track_lifecycle_event`, and the functions it is made of.

-- UUID version 7: its first 48 bits are the milliseconds, so that ids are ordered by time.
CREATE FUNCTION lifecycle_event_id() RETURNS uuid
LANGUAGE sql VOLATILE PARALLEL SAFE AS $$
    SELECT encode(set_bit(set_bit(overlay(uuid_send(gen_random_uuid()) PLACING
        substring(int8send((extract(epoch FROM clock_timestamp()) * 1000)::bigint) FROM 3) FROM 1 FOR 6),
        52, 1), 53, 1), 'hex')::uuid
$$;

-- Raises invalid_parameter_value for what no reader could use. Names fields, and never quotes what is in them.
CREATE FUNCTION lifecycle_check(event_type text, payload jsonb) RETURNS void
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
        WHEN jsonb_typeof(payload -> 'email') NOT IN ('string', 'null') THEN 'email: should be text'
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

-- Writes one event of a known contact. The lock on the contact's row makes its sequence order its commit order.
CREATE FUNCTION lifecycle_write(
    event_id uuid, event_type text, event_payload jsonb, occurred_at timestamptz, trace text, key text
) RETURNS void
LANGUAGE plpgsql AS $$
DECLARE
    contact outbox_contacts;
    amount numeric := CASE WHEN event_type IN ('nova_earned', 'nova_redeemed')
        THEN trunc((event_payload ->> 'amount_cents')::numeric) END;
    total text := event_type || '_cents';
    none CONSTANT jsonb := '{"nova_earned_cents": 0, "nova_redeemed_cents": 0}';
BEGIN
    INSERT INTO outbox_contacts AS known (contact_key, sequence, totals)
    VALUES (key, 1, none || CASE WHEN amount IS NULL THEN '{}' ELSE jsonb_build_object(total, amount) END)
    ON CONFLICT (contact_key) DO UPDATE SET
        sequence = known.sequence + 1,
        totals = CASE WHEN amount IS NULL THEN known.totals
            ELSE known.totals || jsonb_build_object(total, coalesce((known.totals ->> total)::numeric, 0) + amount) END
    RETURNING known.* INTO contact;
    INSERT INTO outbox_events (id, aggregateid, type, sequence, traceparent, payload)
    VALUES (event_id, key, event_type, contact.sequence, trace, jsonb_build_object(
        'id', event_id,
        'type', event_type,
        'schema_version', 1,
        'sequence', contact.sequence,
        'occurred_at', to_char(occurred_at AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"'),
        'contact', jsonb_build_object('email', key, 'external_id', contact.external_id),
        'totals', contact.totals,
        'payload', event_payload));
END $$;

-- Learns that a user has this email. Locks the contacts in the order of their keys, so that two learners don't deadlock.
CREATE FUNCTION lifecycle_learn(user_id text, key text) RETURNS void
LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO outbox_contacts (contact_key) VALUES (key) ON CONFLICT DO NOTHING;
    PERFORM 1 FROM outbox_contacts WHERE contact_key = key OR external_id = user_id ORDER BY contact_key FOR UPDATE;
    UPDATE outbox_contacts SET external_id = NULL WHERE external_id = user_id AND contact_key <> key;
    UPDATE outbox_contacts SET external_id = user_id WHERE contact_key = key;
    INSERT INTO outbox_directory (external_id, contact_key) VALUES (user_id, key)
    ON CONFLICT (external_id) DO UPDATE SET contact_key = excluded.contact_key;
END $$;

-- Writes the parked events of a user, in the order they came.
CREATE FUNCTION lifecycle_release(user_id text, key text) RETURNS void
LANGUAGE plpgsql AS $$
DECLARE
    parked record;
BEGIN
    FOR parked IN
        WITH released AS (DELETE FROM outbox_parked WHERE external_id = user_id RETURNING *)
        SELECT * FROM released ORDER BY position
    LOOP
        PERFORM lifecycle_write(parked.id, parked.type, parked.payload, parked.occurred_at, parked.traceparent, key);
    END LOOP;
END $$;

CREATE FUNCTION track_lifecycle_event(
    event_type text, payload jsonb, occurred_at timestamptz DEFAULT now(), traceparent text DEFAULT NULL
) RETURNS uuid
LANGUAGE plpgsql AS $$
DECLARE
    event_id uuid := lifecycle_event_id();
    user_id text := payload ->> 'user_id';
    named text := lifecycle_contact_key(payload ->> 'email');
    known text;
BEGIN
    PERFORM lifecycle_check(event_type, payload);
    IF named !~ '^\S+@[^\s@]+$' OR named ~ '[[:cntrl:]]' OR length(named) > 320 THEN
        RAISE invalid_parameter_value USING MESSAGE = event_type || '.email: should be an email';
    END IF;
    IF user_id IS NOT NULL THEN
        SELECT contact_key INTO known FROM outbox_directory WHERE external_id = user_id;
        IF known IS DISTINCT FROM coalesce(named, known, '')
            OR EXISTS (SELECT FROM outbox_parked WHERE external_id = user_id)
        THEN
            -- Whoever parks an event of this user and whoever learns the email come one after the other, and look again.
            PERFORM pg_advisory_xact_lock(hashtextextended('nerava outbox user ' || user_id, 0));
            SELECT contact_key INTO known FROM outbox_directory WHERE external_id = user_id;
            IF coalesce(named, known) IS NULL THEN
                INSERT INTO outbox_parked (external_id, id, type, payload, occurred_at, traceparent)
                VALUES (user_id, event_id, event_type, payload, coalesce(track_lifecycle_event.occurred_at, now()),
                    track_lifecycle_event.traceparent);
                RETURN event_id;
            END IF;
            IF named <> known OR known IS NULL THEN
                PERFORM lifecycle_learn(user_id, named);
            END IF;
            PERFORM lifecycle_release(user_id, coalesce(named, known));
        END IF;
    END IF;
    PERFORM lifecycle_write(event_id, event_type, payload, coalesce(track_lifecycle_event.occurred_at, now()),
        track_lifecycle_event.traceparent, coalesce(named, known));
    -- Not got: the relay holds it, so it sleeps (see producer/signals.py). Held until the end of the transaction.
    IF NOT pg_try_advisory_xact_lock_shared({asleep_lock}) THEN
        PERFORM pg_notify('{channel}', '');
    END IF;
    RETURN event_id;
END $$;
