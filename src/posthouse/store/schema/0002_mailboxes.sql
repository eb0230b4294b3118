-- Bodies, each kept once by its SHA-256. Keyed by time-ordered ids, so that rows are appended; `octets` is NULL where
-- the body is a file.
CREATE TABLE blobs (
    blob_id BIGINT NOT NULL PRIMARY KEY, -- sqlite: blob_id INTEGER PRIMARY KEY,
    dated BIGINT NOT NULL,
    digest BYTEA NOT NULL,
    size BIGINT NOT NULL,
    octets BYTEA
);

-- The Date that the octets tell comes first only so that new bodies land side by side.
CREATE UNIQUE INDEX blobs_by_digest ON blobs (dated, digest);

-- Bodies that lost a reference and may have none left; `since` is when the sweep first saw them here.
CREATE TABLE loose_blobs (
    blob_id BIGINT NOT NULL PRIMARY KEY, -- sqlite: blob_id INTEGER PRIMARY KEY,
    since BIGINT
);

-- Counters are kept here: a delivery writes the row anyway for its UID.
CREATE TABLE mailboxes (
    account_id BIGINT NOT NULL,
    mailbox_id BIGINT NOT NULL,
    uidnext BIGINT NOT NULL,
    modseq BIGINT NOT NULL,
    messages BIGINT NOT NULL,
    unseen BIGINT NOT NULL,
    deleted BIGINT NOT NULL,
    octets BIGINT NOT NULL,
    recent_from BIGINT NOT NULL,
    uidvalidity BIGINT NOT NULL,
    special_use TEXT NOT NULL,
    name TEXT NOT NULL,
    PRIMARY KEY (account_id, mailbox_id),
    UNIQUE (account_id, name)
); -- sqlite: ) WITHOUT ROWID;

CREATE TABLE subscriptions (
    account_id BIGINT NOT NULL,
    name TEXT NOT NULL,
    PRIMARY KEY (account_id, name)
); -- sqlite: ) WITHOUT ROWID;

CREATE TABLE keywords (
    account_id BIGINT NOT NULL,
    bit BIGINT NOT NULL,
    name TEXT NOT NULL,
    PRIMARY KEY (account_id, bit)
); -- sqlite: ) WITHOUT ROWID;

-- What was found out about a message at delivery. `placements` counts the mailboxes it lies in. Message keys are
-- unique over all accounts, so that SQLite can take them for its own row number and needs no second tree.
CREATE TABLE messages (
    account_id BIGINT NOT NULL,
    message_key BIGINT NOT NULL, -- sqlite: message_key INTEGER PRIMARY KEY,
    placements BIGINT NOT NULL,
    blob_id BIGINT NOT NULL,
    header_size BIGINT NOT NULL,
    sent_at BIGINT,
    has_attachment SMALLINT NOT NULL,
    message_id TEXT NOT NULL,
    in_reply_to TEXT NOT NULL,
    refs TEXT NOT NULL,
    subject TEXT NOT NULL,
    base_subject TEXT NOT NULL,
    header_from TEXT NOT NULL,
    header_to TEXT NOT NULL,
    header_cc TEXT NOT NULL,
    header_bcc TEXT NOT NULL,
    preview TEXT NOT NULL,
    prefix BYTEA NOT NULL,
    envelope BYTEA NOT NULL,
    bodystructure BYTEA NOT NULL,
    PRIMARY KEY (account_id, message_key) -- sqlite: CHECK (placements >= 0)
);

CREATE INDEX messages_by_blob ON messages (blob_id);

-- A message in a mailbox. Small rows in the order of a mailbox: what is asked for of whole mailboxes stands here.
CREATE TABLE placements (
    account_id BIGINT NOT NULL,
    mailbox_id BIGINT NOT NULL,
    uid BIGINT NOT NULL,
    message_key BIGINT NOT NULL,
    flags BIGINT NOT NULL,
    modseq BIGINT NOT NULL,
    size BIGINT NOT NULL,
    received_at BIGINT NOT NULL,
    PRIMARY KEY (account_id, mailbox_id, uid)
); -- sqlite: ) WITHOUT ROWID;

-- Changed flags (kind 1) and removals (kind 2), an entry for each operation; `uids` as "1:20,25".
CREATE TABLE changes (
    account_id BIGINT NOT NULL,
    modseq BIGINT NOT NULL,
    mailbox_id BIGINT NOT NULL,
    kind SMALLINT NOT NULL,
    uids TEXT NOT NULL,
    PRIMARY KEY (account_id, modseq, mailbox_id, kind)
); -- sqlite: ) WITHOUT ROWID;
