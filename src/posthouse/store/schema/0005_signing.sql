-- Keys that sign what leaves (DKIM, ARC). `record` is the text of the TXT record, kept when the private key (PKCS #8)
-- has been forgotten: so long as something it signed is under way, the record has to stay published. Rows stay, so that
-- no selector is ever used again for another key.
CREATE TABLE signing_keys (
    domain TEXT NOT NULL,
    selector TEXT NOT NULL,
    algorithm TEXT NOT NULL,
    state TEXT NOT NULL,
    created BIGINT NOT NULL,
    activated BIGINT,
    retired BIGINT,
    withdrawn BIGINT,
    record TEXT NOT NULL,
    private BYTEA,
    PRIMARY KEY (domain, selector)
); -- sqlite: ) WITHOUT ROWID;
