-- What operators do with deliveries, and what they can look up about them.

ALTER TABLE subscription ADD COLUMN paused_at BIGINT; -- NULL: it is delivered to
-- How often an operator has changed what it is owed: what was read before is void then.
ALTER TABLE subscription ADD COLUMN interventions BIGINT NOT NULL DEFAULT 0;
-- Messages up to here are sent once more, and what is sent once more goes so many messages in a second.
ALTER TABLE subscription ADD COLUMN replayed_to BIGINT NOT NULL DEFAULT 0;
ALTER TABLE subscription ADD COLUMN replay_rate BIGINT NOT NULL DEFAULT 100;
ALTER TABLE parked_lane ADD COLUMN replayed_to BIGINT; -- the same of one customer

-- Dropped. Stays until every cursor is past it: until then it is what says that the message is done with.
ALTER TABLE dead_letter ADD COLUMN ended_at BIGINT;
CREATE INDEX dead_letter_ended ON dead_letter (ended_at) WHERE ended_at IS NOT NULL;

-- Each attempt to send something, as far as the configuration keeps them. Written in batches, of no other use.
CREATE TABLE attempt (
    project TEXT COLLATE "C" NOT NULL,
    id TEXT COLLATE "C" NOT NULL,
    subscription_id TEXT COLLATE "C" NOT NULL,
    message_id TEXT COLLATE "C" NOT NULL,
    customer_id TEXT COLLATE "C" NOT NULL, -- the lane
    position BIGINT NOT NULL,
    number BIGINT NOT NULL, -- from 1
    at BIGINT NOT NULL,
    duration_us BIGINT NOT NULL,
    outcome TEXT COLLATE "C" NOT NULL, -- delivered | temporary | throttled | refused | rejected | gone | erased | moot
    reason TEXT COLLATE "C", -- NULL: delivered
    is_replay BIGINT NOT NULL,
    PRIMARY KEY (project, id)
);
CREATE INDEX attempt_of_customer ON attempt (project, customer_id, id);
CREATE INDEX attempt_of_message ON attempt (project, message_id, id);
CREATE INDEX attempt_of_subscription ON attempt (project, subscription_id, id);
CREATE INDEX attempt_expiry ON attempt (at);
