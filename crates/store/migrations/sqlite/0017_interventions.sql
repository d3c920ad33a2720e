-- What operators do with deliveries, and what they can look up about them.

ALTER TABLE subscription ADD COLUMN paused_at INTEGER; -- NULL: it is delivered to
-- How often an operator has changed what it is owed: what was read before is void then.
ALTER TABLE subscription ADD COLUMN interventions INTEGER NOT NULL DEFAULT 0;
-- Messages up to here are sent once more, and what is sent once more goes so many messages in a second.
ALTER TABLE subscription ADD COLUMN replayed_to INTEGER NOT NULL DEFAULT 0;
ALTER TABLE subscription ADD COLUMN replay_rate INTEGER NOT NULL DEFAULT 100;
ALTER TABLE parked_lane ADD COLUMN replayed_to INTEGER; -- the same of one customer

-- Dropped. Stays until every cursor is past it: until then it is what says that the message is done with.
ALTER TABLE dead_letter ADD COLUMN ended_at INTEGER;
CREATE INDEX dead_letter_ended ON dead_letter (ended_at) WHERE ended_at IS NOT NULL;

-- Each attempt to send something, as far as the configuration keeps them. Written in batches, of no other use.
CREATE TABLE attempt (
    project TEXT NOT NULL,
    id TEXT NOT NULL,
    subscription_id TEXT NOT NULL,
    message_id TEXT NOT NULL,
    customer_id TEXT NOT NULL, -- the lane
    position INTEGER NOT NULL,
    number INTEGER NOT NULL, -- from 1
    at INTEGER NOT NULL,
    duration_us INTEGER NOT NULL,
    outcome TEXT NOT NULL, -- delivered | temporary | throttled | refused | rejected | gone | erased | moot
    reason TEXT, -- NULL: delivered
    is_replay INTEGER NOT NULL,
    PRIMARY KEY (project, id)
) STRICT;
CREATE INDEX attempt_of_customer ON attempt (project, customer_id, id);
CREATE INDEX attempt_of_message ON attempt (project, message_id, id);
CREATE INDEX attempt_of_subscription ON attempt (project, subscription_id, id);
CREATE INDEX attempt_expiry ON attempt (at);

-- What SQLite plans by: see 0004_queries.
INSERT INTO sqlite_stat1 (tbl, idx, stat) VALUES
    ('attempt', 'sqlite_autoindex_attempt_1', '10000000 10000000 1'),
    ('attempt', 'attempt_of_customer', '10000000 10000000 50 1'),
    ('attempt', 'attempt_of_message', '10000000 10000000 10 1'),
    ('attempt', 'attempt_of_subscription', '10000000 10000000 1000000 1'),
    ('attempt', 'attempt_expiry', '10000000 2'),
    ('dead_letter', 'sqlite_autoindex_dead_letter_1', '100000 100000 1'),
    ('dead_letter', 'dead_letter_once', '100000 10000 1'),
    ('dead_letter', 'dead_letter_customer', '100000 100000 2'),
    ('dead_letter', 'dead_letter_ended', '1000 2'),
    ('parked_lane', 'sqlite_autoindex_parked_lane_1', '100000 10000 1'),
    ('parked_lane', 'parked_lane_due', '100000 10000 2');
ANALYZE sqlite_schema;
