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
    wrong bigint;
BEGIN
    SELECT count(*) INTO contacts FROM outbox_contacts;
    IF contacts = 0 THEN
        RETURN;
    END IF;
    SELECT count(*) INTO wrong FROM outbox_contacts
    WHERE lifecycle_contact_key(contact_key) <> contact_key OR contact_key IN (
        SELECT aggregateid FROM outbox_events
        WHERE lifecycle_contact_key(payload -> 'payload' ->> 'email') <> aggregateid
        UNION SELECT aggregateid FROM outbox_published
        WHERE lifecycle_contact_key(payload -> 'payload' ->> 'email') <> aggregateid);
    -- The client gets INFO whatever its client_min_messages.
    RAISE INFO 'contacts with a key that the mended function would not make: % of %, as far as events in the outbox tell',
        wrong, contacts;
    RAISE INFO '%; only your own table of users can tell the rest: docs/runbook.md, "Contact keys that lost a v"',
        CASE WHEN current_setting('server_version_num')::int < 170000
            THEN 'until now the letter v was cut off both ends of an email'
            ELSE 'if PostgreSQL 13 to 16 ever served this database, the letter v was cut off both ends of an email' END;
END $$;
