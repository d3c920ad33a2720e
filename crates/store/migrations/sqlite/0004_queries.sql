-- Queries: what an index finds comes in the order that is asked for.

-- Messages of a type in the order of time, and of id for those who page by it.
DROP INDEX log_by_type;
CREATE INDEX log_by_type_and_time ON log (project, type, created_at, position);
CREATE INDEX log_by_type_and_id ON log (project, type, id);

-- What SQLite plans by: rows of the table, then rows that have the same values in the first column of the index, in the
-- first two and so on. It would guess that a project has ten rows, and read all of them rather than sort two. The
-- numbers are of a large project and never measured anew, so that plans are the same everywhere and at all times. A
-- migration with another index of these tables adds its row; those of the next one are here.
ANALYZE sqlite_schema;
DELETE FROM sqlite_stat1;
INSERT INTO sqlite_stat1 (tbl, idx, stat) VALUES
    ('customer', 'sqlite_autoindex_customer_1', '1000000 1000000 1'),
    ('customer', 'customer_by_number', '1000000 1000000 1'),
    ('customer', 'customer_by_key', '1000000 1000000 1'),
    ('customer', 'customer_by_customer_number', '1000000 1000000 1'),
    ('customer', 'customer_by_creation', '1000000 1000000 2 1'),
    ('customer', 'customer_by_modification', '1000000 1000000 2 1'),
    ('customer', 'customer_by_exact_email', '1000000 1000000 2'),
    ('customer', 'customer_by_folded_email', '1000000 1000000 2'),
    ('customer', 'customer_by_external_id', '1000000 1000000 2'),
    ('customer', 'customer_by_last_name', '1000000 1000000 500 10'),
    ('customer_email', 'sqlite_autoindex_customer_email_1', '1000000 1000000 2 1'),
    ('customer_email', 'customer_email_customer', '1000000 1000000 2'),
    ('customer_email', 'customer_email_store', '1000000 1000000 100000 1'),
    ('customer_key', 'sqlite_autoindex_customer_key_1', '1000000 1000000 1'),
    ('credential', 'sqlite_autoindex_credential_1', '1000000 1000000 1'),
    ('token', 'sqlite_autoindex_token_1', '100000 100000 1'),
    ('token', 'token_customer', '100000 100000 2 2'),
    ('token', 'token_expiry', '100000 2'),
    ('session', 'sqlite_autoindex_session_1', '100000 1'),
    ('session', 'session_customer', '100000 100000 5'),
    ('session', 'session_expiry', '100000 5'),
    ('session', 'session_client', '100000 10000'),
    ('session', 'session_anonymous', '100000 100000 2'),
    ('session', 'session_refresh', '100000 2'),
    ('log', 'log_by_id', '10000000 10000000 1'),
    ('log', 'log_by_resource', '10000000 10000000 10 1'),
    ('log', 'log_by_type_and_time', '10000000 10000000 500000 2 1'),
    ('log', 'log_by_type_and_id', '10000000 10000000 500000 1'),
    ('log', 'log_by_time', '10000000 10000000 2 1'),
    ('log', 'log_by_customer', '10000000 10000000 10 1'),
    ('log_personal', 'log_personal_customer', '10000000 10000000 10'),
    ('log_secret', 'log_secret_token', '100000 100000 2'),
    ('log_secret', 'log_secret_expiry', '100000 2');
ANALYZE sqlite_schema;
