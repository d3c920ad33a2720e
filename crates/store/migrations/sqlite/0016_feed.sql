-- What is told, in the order of the log: for receivers that fetch it, and for what subscriptions are owed.

CREATE INDEX log_told ON log (project, position) WHERE kind IN ('message', 'change', 'event');

-- Retention has removed messages up to this position: who asks on from below it may have missed some.
ALTER TABLE project ADD COLUMN removed_to INTEGER NOT NULL DEFAULT 0;

-- What SQLite plans by: see 0004_queries.
INSERT INTO sqlite_stat1 (tbl, idx, stat) VALUES ('log', 'log_told', '10000000 10000000 1');
ANALYZE sqlite_schema;
