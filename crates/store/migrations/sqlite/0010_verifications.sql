-- Customers who prove an address or a number by a code, and rates that all nodes share.

ALTER TABLE customer ADD COLUMN mobile TEXT; -- as +359897765463
CREATE UNIQUE INDEX customer_by_mobile ON customer (project, mobile) WHERE mobile IS NOT NULL;

-- Unique per deployment, also among those who are gone.
DROP INDEX customer_by_number;
CREATE UNIQUE INDEX customer_by_number ON customer (number);
CREATE TABLE retired_number (
    number TEXT PRIMARY KEY
) STRICT;

DELETE FROM sqlite_stat1 WHERE idx = 'customer_by_number';
INSERT INTO sqlite_stat1 (tbl, idx, stat) VALUES
    ('customer', 'customer_by_number', '1000000 1'),
    ('customer', 'customer_by_mobile', '1000000 1000000 1');
ANALYZE sqlite_schema;

-- What the processes of one address or number have in common. Whose it is, is not written here, nor what it is.
CREATE TABLE attribute (
    project TEXT NOT NULL,
    digest BLOB NOT NULL, -- MAC of kind and canonical value
    begun_at TEXT NOT NULL, -- JSON: when the processes began that count
    rests_until INTEGER, -- none begins before that
    newest TEXT, -- the only process that is not superseded
    told_at INTEGER, -- when the last code was sent
    forget_at INTEGER NOT NULL,
    PRIMARY KEY (project, digest)
) STRICT;
CREATE INDEX attribute_forget ON attribute (forget_at);

CREATE TABLE verification (
    project TEXT NOT NULL,
    id TEXT NOT NULL,
    attribute BLOB NOT NULL, -- attribute.digest
    kind TEXT NOT NULL, -- EMAIL, MOBILE
    purpose TEXT NOT NULL,
    code BLOB NOT NULL, -- MAC of id and code; of something that cannot be typed until a code was sent
    created_at INTEGER NOT NULL,
    expires_at INTEGER NOT NULL, -- the code
    attempts INTEGER NOT NULL,
    attempts_max INTEGER NOT NULL,
    verified_at INTEGER,
    consumed_at INTEGER,
    reserved_by TEXT, -- the operation that is about to use the proof
    tell_at INTEGER, -- when the code is to be made and sent. NULL: done, or not to be done
    to_tell BLOB, -- until then: the value, sealed under the ring and bound to this row
    over_at INTEGER NOT NULL,
    PRIMARY KEY (project, id)
) STRICT;
CREATE INDEX verification_over ON verification (over_at);
CREATE INDEX verification_tell ON verification (tell_at) WHERE tell_at IS NOT NULL;
CREATE INDEX verification_attribute ON verification (project, attribute);
CREATE INDEX verification_reserved ON verification (reserved_by) WHERE reserved_by IS NOT NULL;

-- Buckets that are not full.
CREATE TABLE rate_limit (
    bucket BLOB PRIMARY KEY, -- MAC of what is limited
    full_at INTEGER NOT NULL
) STRICT;
CREATE INDEX rate_limit_full ON rate_limit (full_at);
