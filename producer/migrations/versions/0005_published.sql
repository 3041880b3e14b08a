-- What was published, for as long as OUTBOX_RETENTION_H says; empty where that is 0.

CREATE TABLE outbox_published (
    LIKE outbox_events INCLUDING STORAGE,
    published_at timestamptz NOT NULL DEFAULT now()
);
-- To forget what is old, and to find what a contact's events were.
CREATE INDEX outbox_published_by_age ON outbox_published (published_at);
CREATE INDEX outbox_published_by_contact ON outbox_published (aggregateid, sequence);
