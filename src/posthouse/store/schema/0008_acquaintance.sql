-- What an account knows: whom it writes to and hears from, and what it has called junk. `version` changes with whatever
-- somebody may keep a copy of; the others count rows and messages, so that nothing has to be counted anew.
CREATE TABLE learners (
    account_id BIGINT NOT NULL PRIMARY KEY, -- sqlite: account_id INTEGER PRIMARY KEY,
    version BIGINT NOT NULL,
    correspondents BIGINT NOT NULL,
    tokens BIGINT NOT NULL,
    junk BIGINT NOT NULL,
    good BIGINT NOT NULL
);

-- `written` counts letters to somebody, `heard` the hours in which some came from him.
CREATE TABLE correspondents (
    account_id BIGINT NOT NULL,
    domain TEXT NOT NULL,
    local_key TEXT NOT NULL,
    local_part TEXT NOT NULL,
    name TEXT NOT NULL,
    first_seen BIGINT NOT NULL,
    last_seen BIGINT NOT NULL,
    written BIGINT NOT NULL,
    heard BIGINT NOT NULL,
    PRIMARY KEY (account_id, domain, local_key)
); -- sqlite: ) WITHOUT ROWID;

-- In how many junk and good messages each token stood; `seen` is the day (since 1970) when it was last learnt.
CREATE TABLE junk_tokens (
    account_id BIGINT NOT NULL,
    token TEXT NOT NULL,
    junk BIGINT NOT NULL,
    good BIGINT NOT NULL,
    seen BIGINT NOT NULL,
    PRIMARY KEY (account_id, token)
); -- sqlite: ) WITHOUT ROWID;

-- The same for the organizations that sent them, where DMARC proved it.
CREATE TABLE junk_origins (
    account_id BIGINT NOT NULL,
    domain TEXT NOT NULL,
    junk BIGINT NOT NULL,
    good BIGINT NOT NULL,
    seen BIGINT NOT NULL,
    PRIMARY KEY (account_id, domain)
); -- sqlite: ) WITHOUT ROWID;

-- What an account said of a message (`wanted`), and what of it stands in the counts (`learnt`): 0 nothing, 1 junk,
-- 2 good. `waiting` is 1 where there is something to do; `target` and `position` tell how far that is.
CREATE TABLE junk_lessons (
    account_id BIGINT NOT NULL,
    message_key BIGINT NOT NULL,
    wanted SMALLINT NOT NULL,
    learnt SMALLINT NOT NULL,
    target SMALLINT NOT NULL,
    position BIGINT NOT NULL,
    waiting SMALLINT NOT NULL,
    PRIMARY KEY (account_id, message_key)
); -- sqlite: ) WITHOUT ROWID;

CREATE INDEX junk_lessons_waiting ON junk_lessons (account_id, message_key) WHERE waiting = 1;

-- Logos of domains, as they were last fetched and checked; `indicator` is the sanitised drawing, empty but for a pass.
CREATE TABLE bimi_marks (
    domain TEXT NOT NULL,
    selector TEXT NOT NULL,
    record TEXT NOT NULL,
    result TEXT NOT NULL,
    reason TEXT NOT NULL,
    authority TEXT NOT NULL,
    organization TEXT NOT NULL,
    mark TEXT NOT NULL,
    preference TEXT NOT NULL,
    fetched BIGINT NOT NULL,
    expires BIGINT NOT NULL,
    indicator BYTEA NOT NULL,
    PRIMARY KEY (domain, selector)
);
