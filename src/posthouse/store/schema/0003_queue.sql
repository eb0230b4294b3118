-- Messages on their way out, keyed by shard for engines that spread rows over machines.

CREATE TABLE queued (
    shard BIGINT NOT NULL,
    journey_id BIGINT NOT NULL,
    blob_id BIGINT NOT NULL,
    created BIGINT NOT NULL,
    size BIGINT NOT NULL,
    mail_from TEXT,
    body TEXT NOT NULL,
    smtputf8 SMALLINT NOT NULL,
    ret TEXT,
    envid TEXT,
    prefix BYTEA NOT NULL,
    PRIMARY KEY (shard, journey_id)
); -- sqlite: ) WITHOUT ROWID;

CREATE INDEX queued_by_blob ON queued (blob_id);

CREATE TABLE deliveries (
    shard BIGINT NOT NULL,
    journey_id BIGINT NOT NULL,
    delivery_id BIGINT NOT NULL,
    state TEXT NOT NULL,
    domain TEXT NOT NULL,
    due BIGINT NOT NULL,
    created BIGINT NOT NULL,
    failures BIGINT NOT NULL,
    generation BIGINT NOT NULL,
    owner TEXT NOT NULL,
    lease_until BIGINT NOT NULL,
    delay_notified SMALLINT NOT NULL,
    local_part TEXT NOT NULL,
    address_domain TEXT NOT NULL,
    orcpt TEXT,
    notify SMALLINT,
    PRIMARY KEY (shard, journey_id, delivery_id)
); -- sqlite: ) WITHOUT ROWID;

CREATE INDEX deliveries_waiting ON deliveries (domain, due) WHERE state = 'waiting';
CREATE INDEX deliveries_claimed ON deliveries (lease_until, domain) WHERE state = 'claimed';

CREATE TABLE attempts (
    shard BIGINT NOT NULL,
    journey_id BIGINT NOT NULL,
    delivery_id BIGINT NOT NULL,
    generation BIGINT NOT NULL,
    at BIGINT NOT NULL,
    outcome TEXT NOT NULL,
    host TEXT NOT NULL,
    ip TEXT NOT NULL,
    tls TEXT NOT NULL,
    code BIGINT NOT NULL,
    enhanced TEXT NOT NULL,
    words TEXT NOT NULL,
    PRIMARY KEY (shard, journey_id, delivery_id, generation)
); -- sqlite: ) WITHOUT ROWID;
