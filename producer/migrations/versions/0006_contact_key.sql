-- The contact key, as `schemas.contacts.contact_key` makes it in Python, on every version of PostgreSQL from 13 on.
--
-- The function of 0001 trimmed E'\v', which PostgreSQL 13 to 16 read as the letter v, and lowered letters by a collation,
-- whose letters differ between versions. What is trimmed and lowered here comes from Python: see 0006_contact_key.py.

-- A long outbox_published takes its time to compare, and a role may have a limit.
SET LOCAL statement_timeout = 0;

-- Not STRICT, which would keep PostgreSQL from inlining it. NULL still gives NULL.
CREATE OR REPLACE FUNCTION lifecycle_contact_key(email text) RETURNS text
LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$
    SELECT CASE WHEN octet_length(email) = length(email)
        THEN lower(btrim(email, {trimmed}) COLLATE "C")
        ELSE normalize(translate(lower(normalize(btrim(email, {trimmed}), NFC) COLLATE "C"), {uppercase}, {lowercase}),
            NFC)
    END
$$;

-- A legacy database may have this off; the function's pattern would lose its backslashes, and no email would match.
ALTER FUNCTION lifecycle_checked(text, jsonb) SET standard_conforming_strings = on;

-- The events that are still in the outbox hold the email as it was given. Nothing tells where the other keys came from.
DO $$
DECLARE
    contacts bigint;
    users bigint;
    wrong text[];
BEGIN
    SELECT count(*) INTO contacts FROM outbox_contacts;
    SELECT count(*) INTO users FROM outbox_directory;
    IF contacts + users = 0 THEN
        RETURN;
    END IF;
    SELECT array_agg(key) INTO wrong FROM (
        SELECT contact_key AS key FROM outbox_contacts WHERE lifecycle_contact_key(contact_key) <> contact_key
        UNION SELECT contact_key FROM outbox_directory WHERE lifecycle_contact_key(contact_key) <> contact_key
        UNION SELECT aggregateid FROM outbox_events
        WHERE lifecycle_contact_key(payload -> 'payload' ->> 'email') <> aggregateid
        UNION SELECT aggregateid FROM outbox_published
        WHERE lifecycle_contact_key(payload -> 'payload' ->> 'email') <> aggregateid
        -- A parked row has no key of its own: its user has one by now, which may be of a later email.
        UNION SELECT contact_key FROM outbox_parked JOIN outbox_directory USING (external_id)
        WHERE lifecycle_contact_key(payload ->> 'email') <> contact_key
            AND lifecycle_contact_key(btrim(lifecycle_contact_key(payload ->> 'email'), 'v')) = contact_key
    ) AS found;
    -- The client gets INFO whatever its client_min_messages.
    RAISE INFO 'contacts with a key that the mended function would not make: % of %, as far as events in the outbox tell',
        (SELECT count(*) FROM outbox_contacts WHERE contact_key IN (SELECT unnest(wrong))), contacts;
    RAISE INFO 'rows with such a key: % of % users in outbox_directory, % unpublished in outbox_events, % parked of these users',
        (SELECT count(*) FROM outbox_directory WHERE contact_key IN (SELECT unnest(wrong))), users,
        (SELECT count(*) FROM outbox_events WHERE aggregateid IN (SELECT unnest(wrong))),
        (SELECT count(*) FROM outbox_parked JOIN outbox_directory USING (external_id)
            WHERE contact_key IN (SELECT unnest(wrong)));
    IF cardinality(wrong) > 0 THEN
        RAISE INFO '`python -m producer recover --emails` lists these contacts';
    END IF;
    RAISE INFO '%; only your own table of users can tell the rest: docs/runbook.md, "Contact keys that lost a v"',
        CASE WHEN current_setting('server_version_num')::int < 170000
            THEN 'until now the letter v was cut off both ends of an email'
            ELSE 'if PostgreSQL 13 to 16 ever served this database, the letter v was cut off both ends of an email' END;
END $$;
