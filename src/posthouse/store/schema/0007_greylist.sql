-- Whom we have asked to come again, and who did. `key` is a digest of client, author and recipient, or of a client and
-- its author's domain once they have proved to come again; `passed` is when they first did.
CREATE TABLE greylist (
    key BYTEA NOT NULL PRIMARY KEY,
    first_seen BIGINT NOT NULL,
    last_seen BIGINT NOT NULL,
    passed BIGINT
); -- sqlite: ) WITHOUT ROWID;

CREATE INDEX greylist_by_age ON greylist (last_seen);

-- Journeys of messages that were refused, to be forgotten before the others.
CREATE TABLE refusals (
    journey_id BIGINT NOT NULL PRIMARY KEY -- sqlite: journey_id INTEGER PRIMARY KEY
);
