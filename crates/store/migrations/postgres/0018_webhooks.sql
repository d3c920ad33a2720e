-- Webhooks whose receivers have accepted nothing for days are disabled.

ALTER TABLE subscription ADD COLUMN failing_since BIGINT; -- the first failure after the last success, to an hour. NULL: none
