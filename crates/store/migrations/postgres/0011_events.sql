-- Events: what a partner is sent in a body that was rendered when it happened. Each time that one is to be sent has an
-- entry of the kind 'event' in the log, with the event's id as its resource.

CREATE TABLE event (
    project TEXT COLLATE "C" NOT NULL,
    id TEXT COLLATE "C" NOT NULL, -- what receivers know it by
    type TEXT COLLATE "C" NOT NULL,
    customer_id TEXT COLLATE "C", -- NULL: nobody's yet
    subject TEXT COLLATE "C", -- a process whose end is the end of the body, too
    occurred_at BIGINT NOT NULL,
    body BYTEA, -- the very bytes, under the key ring, bound to this row. NULL: erased
    awaiting BIGINT, -- the last position of the log that it is to be sent for and was not yet. NULL: there is none
    delivered_at BIGINT,
    parked_at BIGINT, -- put aside: nobody sends it unless it is asked for
    ends_at BIGINT, -- the body's end. NULL: it is kept as long as the row
    kept_until BIGINT NOT NULL,
    PRIMARY KEY (project, id)
);
CREATE INDEX event_by_time ON event (project, type, occurred_at, id);
CREATE INDEX event_by_customer ON event (project, customer_id, type, occurred_at, id);
CREATE INDEX event_by_subject ON event (project, subject) WHERE subject IS NOT NULL;
CREATE INDEX event_expiry ON event (kept_until);
CREATE INDEX event_end ON event (ends_at) WHERE body IS NOT NULL;

-- What is to be sent again, as far as it is not yet in the log.
CREATE TABLE event_resend (
    project TEXT COLLATE "C" NOT NULL,
    id TEXT COLLATE "C" NOT NULL,
    type TEXT COLLATE "C" NOT NULL,
    customer_id TEXT COLLATE "C", -- NULL: whosever
    until_at BIGINT NOT NULL, -- the last time that is meant
    next_at BIGINT NOT NULL, -- what lies at or before (next_at, next_id) is done
    next_id TEXT COLLATE "C" NOT NULL,
    PRIMARY KEY (project, id)
);
