-- A reward and its event in one transaction: psql "$DATABASE_URL" -v ON_ERROR_STOP=1 -f examples/plain.sql

BEGIN;

INSERT INTO rewards (user_id, amount_cents) VALUES ('usr_42', 500);

SELECT track_lifecycle_event('nova_earned', jsonb_build_object(
    'user_id', 'usr_42',
    'amount_cents', 500,
    'session_id', 'ses_1',
    'new_balance_cents', 3500,
    'earned_at', now()
));

COMMIT; -- the reward and its event, or neither
