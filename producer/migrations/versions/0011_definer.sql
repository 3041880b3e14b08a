-- The functions that backends call run with the rights of their owner, so a backend's role needs none to a table:
-- docs/decisions/0074-rights.md. A migration that replaces such a function has to say SECURITY DEFINER and its search_path
-- again.

-- A constraint's message would tell the caller the whole row, with the email of the user that he named: what is too large
-- is refused before. An envelope has up to 10,000 bytes beside its payload.
CREATE OR REPLACE FUNCTION lifecycle_fits(payload jsonb) RETURNS boolean
LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$
    SELECT coalesce(greatest(
        length(payload ->> 'user_id'), length(payload ->> 'email'), length(payload ->> 'previous_email'),
        length(payload ->> 'auth_provider'), length(payload ->> 'pass_type'), length(payload ->> 'session_id'),
        length(payload ->> 'merchant_id'), length(payload ->> 'redemption_id'), length(payload ->> 'name'),
        length(payload ->> 'phone'), length(payload ->> 'business_name')), 0) <= 255
        AND octet_length(payload::text) <= 890000
$$;

DO $migration$
DECLARE
    before CONSTANT text := 'WHERE length(payload ->> field) > 255 LIMIT 1;';
    after CONSTANT text := before || $$
        IF fault IS NULL THEN
            RAISE check_violation USING MESSAGE = event_type || ': the payload is too large';
        END IF;$$;
BEGIN
    EXECUTE replace(pg_get_functiondef('lifecycle_check(text, jsonb)'::regprocedure), before, after);
END $migration$;

DO $migration$
DECLARE
    outbox CONSTANT text := (SELECT relnamespace::regnamespace::text FROM pg_class WHERE oid = 'outbox_events'::regclass);
    entry regprocedure;
BEGIN
    -- Whoever tracks as himself today goes on so, if the owner could not: it has not all rights, or policies bind it too.
    IF EXISTS (
        SELECT FROM unnest('{outbox_events,outbox_contacts,outbox_directory,outbox_parked}'::regclass[]) AS ours (name)
        JOIN pg_class ON pg_class.oid = name
        JOIN pg_proc ON pg_proc.oid = 'track_lifecycle_event(text, jsonb, timestamptz, text)'::regprocedure
        WHERE relforcerowsecurity OR NOT pg_has_role(proowner, relowner, 'USAGE')
    ) THEN
        RAISE INFO 'roles of backends need rights to the tables: give tables and functions one owner, without FORCE ROW'
            ' LEVEL SECURITY, and run `python -m producer grants`';
        RETURN;
    END IF;
    FOREACH entry IN ARRAY ARRAY[
        'track_lifecycle_event(text, jsonb, timestamptz, text)'::regprocedure,
        'track_lifecycle_events(jsonb)'::regprocedure
    ] LOOP
        -- pg_catalog comes first and pg_temp last, so that nothing of the caller's stands in for anything of ours.
        EXECUTE format('ALTER FUNCTION %s SECURITY DEFINER SET search_path = pg_catalog, %s, pg_temp', entry, outbox);
    END LOOP;
END $migration$;
