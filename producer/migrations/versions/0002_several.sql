-- `track_lifecycle_events`: the events of a transaction that touches several contacts, in one call.
--
-- Its locks are in one order for everybody: first the users', by number, then the contacts', by key. A single event takes
-- at most one of the former, then the latter in the same order (lifecycle_learn). So whoever tracks once in a transaction
-- waits for nobody who waits for him.

CREATE FUNCTION track_lifecycle_events(events jsonb) RETURNS uuid[]
LANGUAGE plpgsql AS $$
DECLARE
    event jsonb;
    ids uuid[] := '{}';
BEGIN
    PERFORM lifecycle_check_several(events);
    PERFORM lifecycle_lock(events);
    FOR event IN SELECT value FROM jsonb_array_elements(events) WITH ORDINALITY ORDER BY ordinality LOOP
        ids := ids || track_lifecycle_event(event ->> 'event_type', event -> 'payload',
            (event ->> 'occurred_at')::timestamptz, event ->> 'traceparent');
    END LOOP;
    RETURN ids;
END $$;

-- Raises invalid_parameter_value before anything is locked or written.
CREATE FUNCTION lifecycle_check_several(events jsonb) RETURNS void
LANGUAGE plpgsql STABLE AS $$
DECLARE
    event jsonb;
    expected CONSTANT text[] := '{event_type,payload,occurred_at,traceparent}';
BEGIN
    IF events IS NULL OR jsonb_typeof(events) <> 'array' THEN
        RAISE invalid_parameter_value USING MESSAGE = 'events: should be a JSON array';
    END IF;
    FOR event IN SELECT value FROM jsonb_array_elements(events) LOOP
        IF jsonb_typeof(event) <> 'object' OR event - expected <> '{}' THEN
            RAISE invalid_parameter_value USING
                MESSAGE = 'events: each should be an object of ' || array_to_string(expected, ', ') || ', and no more';
        END IF;
        PERFORM lifecycle_checked(event ->> 'event_type', event -> 'payload');
    END LOOP;
END $$;

-- Locks all that the events will: the users that they name, and the contacts that these have or will have.
CREATE FUNCTION lifecycle_lock(events jsonb) RETURNS void
LANGUAGE plpgsql AS $$
DECLARE
    payloads CONSTANT jsonb[] := ARRAY(SELECT value -> 'payload' FROM jsonb_array_elements(events));
    users CONSTANT text[] := ARRAY(SELECT payload ->> 'user_id' FROM unnest(payloads) AS payload);
    user_lock bigint;
    keys text[];
BEGIN
    -- By number and not by name: two users may share a lock.
    FOR user_lock IN
        SELECT DISTINCT lifecycle_user_lock(user_id) FROM unnest(users) AS user_id WHERE user_id IS NOT NULL ORDER BY 1
    LOOP
        PERFORM pg_advisory_xact_lock(user_lock);
    END LOOP;
    -- From here on nobody else gives these users another contact.
    keys := ARRAY(
        SELECT lifecycle_contact_key(payload ->> 'email') FROM unnest(payloads) AS payload WHERE payload ->> 'email' <> ''
        UNION SELECT contact_key FROM outbox_directory WHERE external_id = ANY (users)
        UNION SELECT contact_key FROM outbox_contacts WHERE external_id = ANY (users));
    -- Those that are new come first, as in lifecycle_learn: whoever waits for one of them holds no contact that was there.
    INSERT INTO outbox_contacts (contact_key) SELECT key FROM unnest(keys) AS key ORDER BY key ON CONFLICT DO NOTHING;
    PERFORM 1 FROM outbox_contacts WHERE contact_key = ANY (keys) ORDER BY contact_key FOR UPDATE;
END $$;
