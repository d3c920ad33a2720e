-- Partners who want to hear of verification processes that came to nothing, and passwords that were tried in vain.

ALTER TABLE verification ADD COLUMN notice BYTEA; -- what is told then, sealed under the ring and bound to this row. NULL: nothing
ALTER TABLE verification ADD COLUMN notice_at BIGINT; -- when it has failed at the latest, unless it has succeeded
CREATE INDEX verification_notice ON verification (notice_at) WHERE notice_at IS NOT NULL;

-- A row for each account at which a wrong password was tried since a right one.
CREATE TABLE throttle (
    account BYTEA PRIMARY KEY, -- MAC of project and address
    tries BIGINT NOT NULL,
    last_at BIGINT NOT NULL
);
CREATE INDEX throttle_last ON throttle (last_at);
