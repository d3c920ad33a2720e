-- Passwords that are set at an identity provider and here as one, and which customer is whom there.

CREATE TABLE provider_link (
    project TEXT COLLATE "C" NOT NULL,
    provider TEXT COLLATE "C" NOT NULL,
    user_id TEXT COLLATE "C" NOT NULL,
    customer_id TEXT COLLATE "C" NOT NULL,
    linked_at BIGINT NOT NULL,
    PRIMARY KEY (project, provider, user_id)
);
CREATE UNIQUE INDEX provider_link_customer ON provider_link (project, customer_id, provider);

CREATE TABLE operation (
    project TEXT COLLATE "C" NOT NULL,
    id TEXT COLLATE "C" NOT NULL,
    customer_id TEXT COLLATE "C" NOT NULL,
    state TEXT COLLATE "C" NOT NULL, -- open | closing | committed | released | gone | diverged | resolved
    revision BIGINT NOT NULL, -- moves with every write: whoever lost the operation to another process cannot write it
    began_at BIGINT NOT NULL,
    expires_at BIGINT NOT NULL, -- the end of the seal
    quiet_until BIGINT NOT NULL, -- no other password may be sent for this customer before
    intent TEXT COLLATE "C" NOT NULL, -- JSON, never changes; who asked is impersonal once the operation has ended
    log TEXT COLLATE "C" NOT NULL, -- JSON
    hash TEXT COLLATE "C", -- to be stored when it is done; gone with the end
    sealed BYTEA, -- the password, under the key ring, bound to this row; gone with the end and at expires_at
    mac BYTEA, -- tells the same password from another; gone when neither matters any more
    owner TEXT COLLATE "C", -- the process that performs it, until due_at
    due_at BIGINT, -- when somebody must look at it. NULL: nothing is left to do
    ended_at BIGINT,
    PRIMARY KEY (project, id)
);
-- The customer's only slot.
CREATE UNIQUE INDEX operation_open ON operation (project, customer_id) WHERE state = 'open';
CREATE INDEX operation_customer ON operation (project, customer_id, began_at);
CREATE INDEX operation_due ON operation (due_at) WHERE due_at IS NOT NULL;
CREATE INDEX operation_sealed ON operation (expires_at) WHERE sealed IS NOT NULL;
CREATE INDEX operation_mac ON operation (quiet_until) WHERE mac IS NOT NULL AND ended_at IS NOT NULL;
CREATE INDEX operation_ended ON operation (ended_at) WHERE ended_at IS NOT NULL;

-- The same key of the same caller with the same request: the same operation.
CREATE TABLE idempotency (
    project TEXT COLLATE "C" NOT NULL,
    caller TEXT COLLATE "C" NOT NULL,
    key TEXT COLLATE "C" NOT NULL,
    fingerprint BYTEA NOT NULL, -- MAC of the request, for it holds a password
    operation_id TEXT COLLATE "C" NOT NULL,
    expires_at BIGINT NOT NULL,
    PRIMARY KEY (project, caller, key)
);
CREATE INDEX idempotency_expiry ON idempotency (expires_at);
CREATE INDEX idempotency_operation ON idempotency (project, operation_id);

ALTER TABLE token ADD COLUMN reserved_by TEXT COLLATE "C"; -- the operation that is about to use it
