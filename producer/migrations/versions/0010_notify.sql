-- PostgreSQL prepares no transaction that has notified anybody. With `SET LOCAL nerava.notify = off` an event notifies no
-- relay, and one that sleeps finds it within a second. But for this, the functions are as they were in 0009.
DO $migration$
DECLARE
    name text;
    before CONSTANT text := $$PERFORM pg_notify('{channel}', '');$$;
    after CONSTANT text :=
        $$PERFORM pg_notify('{channel}', '') WHERE current_setting('nerava.notify', true) IS DISTINCT FROM 'off';$$;
BEGIN
    FOREACH name IN ARRAY ARRAY['track_lifecycle_event', 'lifecycle_track'] LOOP
        EXECUTE replace(pg_get_functiondef((name || '(text, jsonb, timestamptz, text)')::regprocedure), before, after);
    END LOOP;
END $migration$;

-- Whoever may delete rows is a relay's role. It reads the newest position without passing deleted rows.
DO $migration$
DECLARE
    grantee text;
BEGIN
    FOR grantee IN
        SELECT DISTINCT CASE acl.grantee WHEN 0 THEN 'PUBLIC' ELSE acl.grantee::regrole::text END
        FROM pg_class CROSS JOIN LATERAL aclexplode(relacl) AS acl
        WHERE pg_class.oid = 'outbox_events'::regclass AND acl.privilege_type = 'DELETE'
    LOOP
        EXECUTE format('GRANT SELECT ON SEQUENCE %s TO %s',
            pg_get_serial_sequence('outbox_events', 'position'), grantee);
    END LOOP;
END $migration$;
