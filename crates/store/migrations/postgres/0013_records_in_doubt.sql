-- Records of users that were about to be written at an identity provider, and are not known to be the same here. A row is
-- there before the provider is called, and goes with the write that makes both the same.

CREATE TABLE record_in_doubt (
    project TEXT COLLATE "C" NOT NULL,
    id TEXT COLLATE "C" NOT NULL,
    provider TEXT COLLATE "C" NOT NULL,
    customer_id TEXT COLLATE "C", -- NULL: a new user's
    email TEXT COLLATE "C", -- of a new user, as typed. NULL: a customer's
    email_folded TEXT COLLATE "C",
    call TEXT COLLATE "C" NOT NULL, -- what was about to be done there
    run TEXT COLLATE "C" NOT NULL, -- JSON: who asked, and from where
    began_at BIGINT NOT NULL,
    looks BIGINT NOT NULL, -- moves with each: whoever lost the row to another process cannot write it
    due_at BIGINT NOT NULL, -- when somebody must look
    PRIMARY KEY (project, id)
);
CREATE INDEX record_in_doubt_due ON record_in_doubt (due_at);
CREATE INDEX record_in_doubt_customer ON record_in_doubt (project, customer_id) WHERE customer_id IS NOT NULL;
CREATE INDEX record_in_doubt_email ON record_in_doubt (project, email_folded) WHERE email_folded IS NOT NULL;
