-- Events: what a partner is sent in a body that was rendered when it happened. Each time that one is to be sent has an
-- entry of the kind 'event' in the log, with the event's id as its resource.

CREATE TABLE event (
    project TEXT NOT NULL,
    id TEXT NOT NULL, -- what receivers know it by
    type TEXT NOT NULL,
    customer_id TEXT, -- NULL: nobody's yet
    subject TEXT, -- a process whose end is the end of the body, too
    occurred_at INTEGER NOT NULL,
    body BLOB, -- the very bytes, under the key ring, bound to this row. NULL: erased
    awaiting INTEGER, -- the last position of the log that it is to be sent for and was not yet. NULL: there is none
    delivered_at INTEGER,
    parked_at INTEGER, -- put aside: nobody sends it unless it is asked for
    ends_at INTEGER, -- the body's end. NULL: it is kept as long as the row
    kept_until INTEGER NOT NULL,
    PRIMARY KEY (project, id)
) STRICT;
CREATE INDEX event_by_time ON event (project, type, occurred_at, id);
CREATE INDEX event_by_customer ON event (project, customer_id, type, occurred_at, id);
CREATE INDEX event_by_subject ON event (project, subject) WHERE subject IS NOT NULL;
CREATE INDEX event_expiry ON event (kept_until);
CREATE INDEX event_end ON event (ends_at) WHERE body IS NOT NULL;

-- What is to be sent again, as far as it is not yet in the log.
CREATE TABLE event_resend (
    project TEXT NOT NULL,
    id TEXT NOT NULL,
    type TEXT NOT NULL,
    customer_id TEXT, -- NULL: whosever
    until_at INTEGER NOT NULL, -- the last time that is meant
    next_at INTEGER NOT NULL, -- what lies at or before (next_at, next_id) is done
    next_id TEXT NOT NULL,
    PRIMARY KEY (project, id)
) STRICT;
