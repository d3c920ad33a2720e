-- Stores, and e-mail addresses that are unique within them; what erasing a customer looks for.

CREATE TABLE shop (
    project TEXT NOT NULL,
    id TEXT NOT NULL,
    key TEXT NOT NULL,
    version INTEGER NOT NULL,
    created_at INTEGER NOT NULL,
    last_modified_at INTEGER NOT NULL,
    created_by TEXT NOT NULL, -- JSON
    last_modified_by TEXT NOT NULL, -- JSON
    name TEXT NOT NULL, -- JSON
    PRIMARY KEY (project, id)
) STRICT;
CREATE UNIQUE INDEX shop_by_key ON shop (project, key);

ALTER TABLE customer ADD COLUMN stores TEXT NOT NULL DEFAULT '[]'; -- JSON, keys; repeated in customer_email

-- Where a customer has its e-mail address: one row per store, or one with an empty store for a global customer. An
-- address with an empty store has no other row; the primary key alone cannot say that, see claim.rs.
CREATE TABLE customer_email (
    project TEXT NOT NULL,
    email_folded TEXT NOT NULL,
    store TEXT NOT NULL,
    customer_id TEXT NOT NULL,
    PRIMARY KEY (project, email_folded, store)
) STRICT;
INSERT INTO customer_email (project, email_folded, store, customer_id) SELECT project, email_folded, '', id FROM customer;
CREATE INDEX customer_email_customer ON customer_email (project, customer_id);
CREATE INDEX customer_email_store ON customer_email (project, store, customer_id) WHERE store <> '';
DROP INDEX customer_by_email;
CREATE INDEX customer_by_folded_email ON customer (project, email_folded);

CREATE INDEX dead_letter_customer ON dead_letter (project, customer_id);

-- Erased customers of whom unused parts of pages may still hold something, until the file was rewritten. (Only SQLite's.)
CREATE TABLE erasure (
    project TEXT NOT NULL,
    customer_id TEXT NOT NULL,
    PRIMARY KEY (project, customer_id)
) STRICT;
