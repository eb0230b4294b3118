-- What happened to a message up to its acceptance, and, part by part, afterwards. Stamps are JSON.
CREATE TABLE journeys (
    journey_id BIGINT NOT NULL PRIMARY KEY, -- sqlite: journey_id INTEGER PRIMARY KEY,
    message_id TEXT NOT NULL,
    stamps BYTEA NOT NULL
);

CREATE TABLE journey_parts (
    journey_id BIGINT NOT NULL,
    part BIGINT NOT NULL,
    stamps BYTEA NOT NULL,
    PRIMARY KEY (journey_id, part)
); -- sqlite: ) WITHOUT ROWID;

-- For finding a journey by its Message-ID: a narrow table that is appended to and read through when somebody asks. An
-- index over the names would cost every acceptance a random page.
CREATE TABLE journey_names (
    journey_id BIGINT NOT NULL PRIMARY KEY, -- sqlite: journey_id INTEGER PRIMARY KEY,
    name BIGINT NOT NULL
);
