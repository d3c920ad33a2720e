-- Attempts are found by customer through the log, whose index of customers is there anyway. One of their own would be written to
-- here and there, where all others grow at their ends: it cost more than the rest of the row.

DROP INDEX attempt_of_customer;
CREATE INDEX attempt_at_position ON attempt (position);

-- What SQLite plans by: see 0004_queries.
INSERT INTO sqlite_stat1 (tbl, idx, stat) VALUES ('attempt', 'attempt_at_position', '10000000 10');
ANALYZE sqlite_schema;
