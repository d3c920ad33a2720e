-- Customers who prove an address or a number by a code, and rates that all nodes share.

ALTER TABLE customer ADD COLUMN mobile TEXT COLLATE "C"; -- as +359897765463
CREATE UNIQUE INDEX customer_by_mobile ON customer (project, mobile) WHERE mobile IS NOT NULL;

-- Unique per deployment, also among those who are gone.
DROP INDEX customer_by_number;
CREATE UNIQUE INDEX customer_by_number ON customer (number);
CREATE TABLE retired_number (
    number TEXT COLLATE "C" PRIMARY KEY
);

-- What the processes of one address or number have in common. Whose it is, is not written here, nor what it is.
CREATE TABLE attribute (
    project TEXT COLLATE "C" NOT NULL,
    digest BYTEA NOT NULL, -- MAC of kind and canonical value
    begun_at TEXT COLLATE "C" NOT NULL, -- JSON: when the processes began that count
    rests_until BIGINT, -- none begins before that
    newest TEXT COLLATE "C", -- the only process that is not superseded
    told_at BIGINT, -- when the last code was sent
    forget_at BIGINT NOT NULL,
    PRIMARY KEY (project, digest)
);
CREATE INDEX attribute_forget ON attribute (forget_at);

CREATE TABLE verification (
    project TEXT COLLATE "C" NOT NULL,
    id TEXT COLLATE "C" NOT NULL,
    attribute BYTEA NOT NULL, -- attribute.digest
    kind TEXT COLLATE "C" NOT NULL, -- EMAIL, MOBILE
    purpose TEXT COLLATE "C" NOT NULL,
    code BYTEA NOT NULL, -- MAC of id and code; of something that cannot be typed until a code was sent
    created_at BIGINT NOT NULL,
    expires_at BIGINT NOT NULL, -- the code
    attempts BIGINT NOT NULL,
    attempts_max BIGINT NOT NULL,
    verified_at BIGINT,
    consumed_at BIGINT,
    reserved_by TEXT COLLATE "C", -- the operation that is about to use the proof
    tell_at BIGINT, -- when the code is to be made and sent. NULL: done, or not to be done
    to_tell BYTEA, -- until then: the value, sealed under the ring and bound to this row
    over_at BIGINT NOT NULL,
    PRIMARY KEY (project, id)
);
CREATE INDEX verification_over ON verification (over_at);
CREATE INDEX verification_tell ON verification (tell_at) WHERE tell_at IS NOT NULL;
CREATE INDEX verification_attribute ON verification (project, attribute);
CREATE INDEX verification_reserved ON verification (reserved_by) WHERE reserved_by IS NOT NULL;

-- Buckets that are not full.
CREATE TABLE rate_limit (
    bucket BYTEA PRIMARY KEY, -- MAC of what is limited
    full_at BIGINT NOT NULL
);
CREATE INDEX rate_limit_full ON rate_limit (full_at);
