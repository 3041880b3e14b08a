-- The contact key, as `schemas.contacts.contact_key` makes it in Python; an integration test holds the two together.

DO $migration$
DECLARE
    chosen text;
BEGIN
    IF current_setting('server_encoding') <> 'UTF8' THEN
        RAISE EXCEPTION 'the outbox needs a database with the encoding UTF8, and this one has %',
            current_setting('server_encoding');
    END IF;
    -- Databases are often C-collated, which lowers ASCII alone. PostgreSQL 17 has the first of these, older ones the others.
    SELECT quote_ident(collname) INTO chosen FROM pg_collation
    WHERE collname IN ('pg_c_utf8', 'und-x-icu', 'C.utf8', 'en_US.utf8') AND collencoding IN (-1, 6)
    ORDER BY array_position(ARRAY['pg_c_utf8', 'und-x-icu', 'C.utf8', 'en_US.utf8'], collname::text) LIMIT 1;
    IF chosen IS NULL THEN
        RAISE EXCEPTION 'the outbox needs a collation that lowers all letters: pg_c_utf8, und-x-icu, C.utf8 or en_US.utf8';
    END IF;
    -- Collations differ on two letters: the dotted capital I, and the sigma at a word's end.
    EXECUTE format($function$
        CREATE FUNCTION lifecycle_contact_key(email text) RETURNS text
        LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE AS $body$
            SELECT normalize(lower(
                translate(normalize(btrim(email, E' \t\n\r\f\v\u00a0'), NFC), E'\u0130\u03a3', E'i\u03c3') COLLATE %s), NFC)
        $body$ $function$, chosen);
END $migration$;
