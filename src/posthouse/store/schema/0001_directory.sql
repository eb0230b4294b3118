-- Who is here. Domains in lower case and A-labels; `local_key` is the local part as look-ups write it (Address.key).

CREATE TABLE house (
    name TEXT NOT NULL PRIMARY KEY,
    value BYTEA NOT NULL
);

CREATE TABLE domains (
    domain TEXT NOT NULL PRIMARY KEY,
    created BIGINT NOT NULL
);

-- Beside who it is, the row holds what every change of the account's mailboxes counts: octets, modseq, the last
-- mailbox made, the last UIDVALIDITY, how many entries the log of changes had and from which modseq it still tells.
CREATE TABLE accounts (
    account_id BIGINT NOT NULL PRIMARY KEY, -- sqlite: account_id INTEGER PRIMARY KEY,
    modseq BIGINT NOT NULL,
    octets BIGINT NOT NULL,
    logged BIGINT NOT NULL,
    logged_from BIGINT NOT NULL,
    last_mailbox BIGINT NOT NULL,
    last_uidvalidity BIGINT NOT NULL,
    quota BIGINT,
    suspended SMALLINT NOT NULL,
    domain TEXT NOT NULL,
    local_key TEXT NOT NULL,
    local_part TEXT NOT NULL,
    name TEXT NOT NULL,
    created BIGINT NOT NULL,
    UNIQUE (domain, local_key)
);

CREATE TABLE credentials (
    account_id BIGINT NOT NULL PRIMARY KEY, -- sqlite: account_id INTEGER PRIMARY KEY,
    password_hash TEXT NOT NULL,
    salt BYTEA NOT NULL,
    iterations BIGINT NOT NULL,
    stored_key BYTEA NOT NULL,
    server_key BYTEA NOT NULL
);

-- A catch-all has an empty local_key.
CREATE TABLE aliases (
    domain TEXT NOT NULL,
    local_key TEXT NOT NULL,
    position BIGINT NOT NULL,
    local_part TEXT NOT NULL,
    target_domain TEXT NOT NULL,
    target_key TEXT NOT NULL,
    target_local_part TEXT NOT NULL,
    PRIMARY KEY (domain, local_key, position)
);

CREATE INDEX aliases_by_target ON aliases (target_domain, target_key);
