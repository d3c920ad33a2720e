-- Activity in the order of the log, for operators.

CREATE INDEX log_activity ON log (project, position) WHERE kind = 'activity';

-- What SQLite plans by: see 0004_queries.
INSERT INTO sqlite_stat1 (tbl, idx, stat) VALUES ('log', 'log_activity', '1000000 1000000 1');
ANALYZE sqlite_schema;
