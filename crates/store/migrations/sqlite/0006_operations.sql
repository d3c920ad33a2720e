-- Passwords that are set at an identity provider and here as one, and which customer is whom there.

CREATE TABLE provider_link (
    project TEXT NOT NULL,
    provider TEXT NOT NULL,
    user_id TEXT NOT NULL,
    customer_id TEXT NOT NULL,
    linked_at INTEGER NOT NULL,
    PRIMARY KEY (project, provider, user_id)
) STRICT;
CREATE UNIQUE INDEX provider_link_customer ON provider_link (project, customer_id, provider);

CREATE TABLE operation (
    project TEXT NOT NULL,
    id TEXT NOT NULL,
    customer_id TEXT NOT NULL,
    state TEXT NOT NULL, -- open | closing | committed | released | gone | diverged | resolved
    revision INTEGER NOT NULL, -- moves with every write: whoever lost the operation to another process cannot write it
    began_at INTEGER NOT NULL,
    expires_at INTEGER NOT NULL, -- the end of the seal
    quiet_until INTEGER NOT NULL, -- no other password may be sent for this customer before
    intent TEXT NOT NULL, -- JSON, never changes; who asked is impersonal once the operation has ended
    log TEXT NOT NULL, -- JSON
    hash TEXT, -- to be stored when it is done; gone with the end
    sealed BLOB, -- the password, under the key ring, bound to this row; gone with the end and at expires_at
    mac BLOB, -- tells the same password from another; gone when neither matters any more
    owner TEXT, -- the process that performs it, until due_at
    due_at INTEGER, -- when somebody must look at it. NULL: nothing is left to do
    ended_at INTEGER,
    PRIMARY KEY (project, id)
) STRICT;
-- The customer's only slot.
CREATE UNIQUE INDEX operation_open ON operation (project, customer_id) WHERE state = 'open';
CREATE INDEX operation_customer ON operation (project, customer_id, began_at);
CREATE INDEX operation_due ON operation (due_at) WHERE due_at IS NOT NULL;
CREATE INDEX operation_sealed ON operation (expires_at) WHERE sealed IS NOT NULL;
CREATE INDEX operation_mac ON operation (quiet_until) WHERE mac IS NOT NULL AND ended_at IS NOT NULL;
CREATE INDEX operation_ended ON operation (ended_at) WHERE ended_at IS NOT NULL;

-- The same key of the same caller with the same request: the same operation.
CREATE TABLE idempotency (
    project TEXT NOT NULL,
    caller TEXT NOT NULL,
    key TEXT NOT NULL,
    fingerprint BLOB NOT NULL, -- MAC of the request, for it holds a password
    operation_id TEXT NOT NULL,
    expires_at INTEGER NOT NULL,
    PRIMARY KEY (project, caller, key)
) STRICT;
CREATE INDEX idempotency_expiry ON idempotency (expires_at);
CREATE INDEX idempotency_operation ON idempotency (project, operation_id);

ALTER TABLE token ADD COLUMN reserved_by TEXT; -- the operation that is about to use it
