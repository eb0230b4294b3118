-- DMARC and TLS reports, both ways. First what we count of mail that comes in, day by day (UTC, days since 1970), to
-- tell the owners of its authors' domains; a day leaves when its reports were sent.
CREATE TABLE report_periods (
    day BIGINT NOT NULL,
    domain TEXT NOT NULL,
    due BIGINT NOT NULL,
    lines BIGINT NOT NULL,
    left_out BIGINT NOT NULL,
    tries BIGINT NOT NULL,
    lease_until BIGINT NOT NULL,
    owner TEXT NOT NULL,
    PRIMARY KEY (day, domain)
); -- sqlite: ) WITHOUT ROWID;

CREATE INDEX report_periods_due ON report_periods (due);

CREATE TABLE report_policies (
    day BIGINT NOT NULL,
    domain TEXT NOT NULL,
    number BIGINT NOT NULL,
    policy TEXT NOT NULL,
    rua TEXT NOT NULL,
    PRIMARY KEY (day, domain, number)
); -- sqlite: ) WITHOUT ROWID;

-- `digest` stands for policy and facts: a message like one before finds its row by it.
CREATE TABLE report_lines (
    day BIGINT NOT NULL,
    domain TEXT NOT NULL,
    digest BYTEA NOT NULL,
    messages BIGINT NOT NULL,
    number BIGINT NOT NULL,
    facts TEXT NOT NULL,
    PRIMARY KEY (day, domain, digest)
); -- sqlite: ) WITHOUT ROWID;

CREATE TABLE reports_sent (
    sent_id BIGINT NOT NULL PRIMARY KEY, -- sqlite: sent_id INTEGER PRIMARY KEY,
    kind TEXT NOT NULL,
    domain TEXT NOT NULL,
    report_id TEXT NOT NULL,
    period_begin BIGINT NOT NULL,
    period_end BIGINT NOT NULL,
    messages BIGINT NOT NULL,
    rcpt_to TEXT NOT NULL,
    note TEXT NOT NULL
);

CREATE INDEX reports_sent_by_domain ON reports_sent (domain, kind, sent_id);

-- Then what others report to us: mails that look like a report and wait to be read …
CREATE TABLE report_arrivals (
    journey_id BIGINT NOT NULL PRIMARY KEY, -- sqlite: journey_id INTEGER PRIMARY KEY,
    blob_id BIGINT NOT NULL,
    proven SMALLINT NOT NULL,
    tries BIGINT NOT NULL,
    due BIGINT NOT NULL,
    reporter TEXT NOT NULL,
    addressed TEXT NOT NULL
);

-- … and what they told. `passed` are messages that passed DMARC, or connections with TLS as it was asked for; `octets`
-- is what the lines take, `left_out` the messages of lines that were too many.
CREATE TABLE received_reports (
    report_key BIGINT NOT NULL PRIMARY KEY, -- sqlite: report_key INTEGER PRIMARY KEY,
    journey_id BIGINT NOT NULL,
    kind TEXT NOT NULL,
    domain TEXT NOT NULL,
    period_begin BIGINT NOT NULL,
    period_end BIGINT NOT NULL,
    proven SMALLINT NOT NULL,
    messages BIGINT NOT NULL,
    passed BIGINT NOT NULL,
    left_out BIGINT NOT NULL,
    octets BIGINT NOT NULL,
    reporter TEXT NOT NULL,
    organization TEXT NOT NULL,
    report_id TEXT NOT NULL,
    facts TEXT NOT NULL,
    UNIQUE (reporter, report_id, domain, kind)
);

CREATE INDEX received_reports_by_domain ON received_reports (domain, period_begin);

CREATE TABLE received_lines (
    report_key BIGINT NOT NULL,
    line BIGINT NOT NULL,
    messages BIGINT NOT NULL,
    aligned_dkim SMALLINT NOT NULL,
    aligned_spf SMALLINT NOT NULL,
    disposition TEXT NOT NULL,
    source_ip TEXT NOT NULL,
    header_from TEXT NOT NULL,
    dkim TEXT NOT NULL,
    spf TEXT NOT NULL,
    reasons TEXT NOT NULL,
    PRIMARY KEY (report_key, line)
); -- sqlite: ) WITHOUT ROWID;

-- Names of the addresses in them, as the DNS had them when somebody looked; "" for none.
CREATE TABLE source_names (
    ip TEXT NOT NULL PRIMARY KEY,
    asked BIGINT NOT NULL,
    name TEXT NOT NULL
); -- sqlite: ) WITHOUT ROWID;
