-- Records of users that were about to be written at an identity provider, and are not known to be the same here. A row is
-- there before the provider is called, and goes with the write that makes both the same.

CREATE TABLE record_in_doubt (
    project TEXT NOT NULL,
    id TEXT NOT NULL,
    provider TEXT NOT NULL,
    customer_id TEXT, -- NULL: a new user's
    email TEXT, -- of a new user, as typed. NULL: a customer's
    email_folded TEXT,
    call TEXT NOT NULL, -- what was about to be done there
    run TEXT NOT NULL, -- JSON: who asked, and from where
    began_at INTEGER NOT NULL,
    looks INTEGER NOT NULL, -- moves with each: whoever lost the row to another process cannot write it
    due_at INTEGER NOT NULL, -- when somebody must look
    PRIMARY KEY (project, id)
) STRICT;
CREATE INDEX record_in_doubt_due ON record_in_doubt (due_at);
CREATE INDEX record_in_doubt_customer ON record_in_doubt (project, customer_id) WHERE customer_id IS NOT NULL;
CREATE INDEX record_in_doubt_email ON record_in_doubt (project, email_folded) WHERE email_folded IS NOT NULL;
