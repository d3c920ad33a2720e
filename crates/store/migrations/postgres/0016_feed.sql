-- What is told, in the order of the log: for receivers that fetch it, and for what subscriptions are owed.

CREATE INDEX log_told ON log (project, position) WHERE kind IN ('message', 'change', 'event');

-- Retention has removed messages up to this position: who asks on from below it may have missed some.
ALTER TABLE project ADD COLUMN removed_to BIGINT NOT NULL DEFAULT 0;
