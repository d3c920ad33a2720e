-- The first schema. Same tables and indexes on both engines; see ARCHITECTURE.md, "What is stored".
-- COLLATE "C": text compares by its bytes, as on SQLite, whatever locale the database has.

CREATE TABLE project (
    project TEXT COLLATE "C" NOT NULL PRIMARY KEY,
    name TEXT COLLATE "C" NOT NULL,
    version BIGINT NOT NULL,
    messages_enabled BIGINT NOT NULL,
    messages_days BIGINT NOT NULL, -- /messages hides older ones at once
    created_at BIGINT NOT NULL,
    last_modified_at BIGINT NOT NULL
);

CREATE TABLE api_client (
    client_id TEXT COLLATE "C" NOT NULL PRIMARY KEY,
    project TEXT COLLATE "C" NOT NULL,
    name TEXT COLLATE "C" NOT NULL,
    secret BYTEA NOT NULL, -- SHA-256 of 192 random bits or more
    scopes TEXT COLLATE "C" NOT NULL,
    access_token_s BIGINT NOT NULL,
    refresh_token_s BIGINT NOT NULL,
    created_at BIGINT NOT NULL,
    revoked_at BIGINT
);
CREATE INDEX api_client_project ON api_client (project, created_at);

-- Access and refresh tokens, by digest. The project is in the row: a token is looked up before its project is known.
CREATE TABLE session (
    digest BYTEA NOT NULL PRIMARY KEY,
    kind TEXT COLLATE "C" NOT NULL, -- access | refresh
    project TEXT COLLATE "C" NOT NULL,
    client_id TEXT COLLATE "C" NOT NULL,
    scopes TEXT COLLATE "C" NOT NULL,
    customer_id TEXT COLLATE "C",
    expires_at BIGINT NOT NULL
);
CREATE INDEX session_customer ON session (project, customer_id) WHERE customer_id IS NOT NULL;
CREATE INDEX session_expiry ON session (expires_at);
CREATE INDEX session_client ON session (client_id);

CREATE TABLE customer (
    project TEXT COLLATE "C" NOT NULL,
    id TEXT COLLATE "C" NOT NULL,
    number TEXT COLLATE "C" NOT NULL,
    version BIGINT NOT NULL,
    last_sequence BIGINT NOT NULL,
    created_at BIGINT NOT NULL,
    last_modified_at BIGINT NOT NULL,
    created_by TEXT COLLATE "C" NOT NULL, -- JSON
    last_modified_by TEXT COLLATE "C" NOT NULL, -- JSON
    email TEXT COLLATE "C" NOT NULL,
    email_folded TEXT COLLATE "C" NOT NULL,
    key TEXT COLLATE "C",
    external_id TEXT COLLATE "C",
    customer_number TEXT COLLATE "C",
    authentication_mode TEXT COLLATE "C" NOT NULL,
    is_email_verified BIGINT NOT NULL,
    first_name TEXT COLLATE "C",
    last_name TEXT COLLATE "C",
    profile TEXT COLLATE "C" NOT NULL, -- JSON; first and last name are repeated above for queries
    PRIMARY KEY (project, id)
);
CREATE UNIQUE INDEX customer_by_number ON customer (project, number);
CREATE UNIQUE INDEX customer_by_email ON customer (project, email_folded);
CREATE UNIQUE INDEX customer_by_key ON customer (project, key) WHERE key IS NOT NULL;
CREATE UNIQUE INDEX customer_by_customer_number ON customer (project, customer_number) WHERE customer_number IS NOT NULL;
CREATE INDEX customer_by_creation ON customer (project, created_at, id);
CREATE INDEX customer_by_modification ON customer (project, last_modified_at, id);
CREATE INDEX customer_by_exact_email ON customer (project, email);
CREATE INDEX customer_by_external_id ON customer (project, external_id) WHERE external_id IS NOT NULL;
CREATE INDEX customer_by_last_name ON customer (project, last_name, first_name);

-- The key of a customer's personal side rows, sealed. It outlives the customer: its last messages still need it.
CREATE TABLE customer_key (
    project TEXT COLLATE "C" NOT NULL,
    customer_id TEXT COLLATE "C" NOT NULL,
    sealed BYTEA NOT NULL,
    PRIMARY KEY (project, customer_id)
);

CREATE TABLE credential (
    project TEXT COLLATE "C" NOT NULL,
    customer_id TEXT COLLATE "C" NOT NULL,
    hash TEXT COLLATE "C" NOT NULL,
    tail TEXT COLLATE "C" NOT NULL,
    changed_at BIGINT NOT NULL,
    PRIMARY KEY (project, customer_id)
);

CREATE TABLE token (
    project TEXT COLLATE "C" NOT NULL,
    digest BYTEA NOT NULL,
    id TEXT COLLATE "C" NOT NULL,
    kind TEXT COLLATE "C" NOT NULL, -- password | email
    customer_id TEXT COLLATE "C" NOT NULL,
    created_at BIGINT NOT NULL,
    expires_at BIGINT NOT NULL,
    invalidate_older BIGINT NOT NULL,
    created_by TEXT COLLATE "C" NOT NULL, -- JSON
    valid BIGINT NOT NULL,
    PRIMARY KEY (project, digest)
);
CREATE INDEX token_customer ON token (project, customer_id, kind);
CREATE INDEX token_expiry ON token (expires_at);

-- CACHE 1: a session that keeps numbers back would break the reader's rule.
CREATE SEQUENCE log_position AS BIGINT CACHE 1;

-- The one log. A row never changes. Ids, types and times only: what is personal lies in log_personal.
CREATE TABLE log (
    position BIGINT NOT NULL PRIMARY KEY DEFAULT nextval('log_position'), -- not commit order: see log.rs
    project TEXT COLLATE "C" NOT NULL,
    kind TEXT COLLATE "C" NOT NULL, -- message | activity
    id TEXT COLLATE "C" NOT NULL,
    created_at BIGINT NOT NULL,
    type TEXT COLLATE "C" NOT NULL,
    resource_type TEXT COLLATE "C",
    resource_id TEXT COLLATE "C",
    sequence BIGINT,
    resource_version BIGINT,
    customer_id TEXT COLLATE "C", -- the lane
    partition BIGINT NOT NULL,
    visible BIGINT NOT NULL, -- to /messages: messages were enabled when it happened
    has_personal BIGINT NOT NULL,
    facts TEXT COLLATE "C" NOT NULL -- JSON
);
CREATE UNIQUE INDEX log_by_id ON log (project, id);
CREATE UNIQUE INDEX log_by_resource ON log (project, resource_id, sequence) WHERE sequence IS NOT NULL;
CREATE INDEX log_by_type ON log (project, type, position);
CREATE INDEX log_by_time ON log (project, created_at, position);
CREATE INDEX log_by_customer ON log (project, customer_id, position);

CREATE TABLE log_personal (
    position BIGINT NOT NULL PRIMARY KEY,
    project TEXT COLLATE "C" NOT NULL,
    customer_id TEXT COLLATE "C" NOT NULL,
    sealed BYTEA NOT NULL -- under the customer's own key, bound to the entry's id
);
CREATE INDEX log_personal_customer ON log_personal (project, customer_id);

-- Token values that entitled receivers may still see; erased when the token is consumed, ended or expired.
CREATE TABLE log_secret (
    position BIGINT NOT NULL PRIMARY KEY,
    project TEXT COLLATE "C" NOT NULL,
    token_id TEXT COLLATE "C" NOT NULL,
    expires_at BIGINT NOT NULL,
    sealed BYTEA NOT NULL -- under the key ring, bound to the entry's id
);
CREATE INDEX log_secret_token ON log_secret (project, token_id);
CREATE INDEX log_secret_expiry ON log_secret (expires_at);

CREATE TABLE subscription (
    project TEXT COLLATE "C" NOT NULL,
    id TEXT COLLATE "C" NOT NULL,
    key TEXT COLLATE "C",
    version BIGINT NOT NULL,
    created_at BIGINT NOT NULL,
    last_modified_at BIGINT NOT NULL,
    created_by TEXT COLLATE "C" NOT NULL, -- JSON
    last_modified_by TEXT COLLATE "C" NOT NULL, -- JSON
    destination TEXT COLLATE "C" NOT NULL, -- JSON
    secret BYTEA, -- the destination's secret, sealed under the key ring, bound to the subscription's id
    messages TEXT COLLATE "C" NOT NULL, -- JSON
    format TEXT COLLATE "C" NOT NULL, -- JSON
    status TEXT COLLATE "C" NOT NULL,
    PRIMARY KEY (project, id)
);
CREATE UNIQUE INDEX subscription_by_key ON subscription (project, key) WHERE key IS NOT NULL;

-- Everything up to `position` is delivered, dropped by the filter, parked or put aside, in this partition.
CREATE TABLE delivery_cursor (
    subscription_id TEXT COLLATE "C" NOT NULL,
    partition BIGINT NOT NULL,
    position BIGINT NOT NULL,
    PRIMARY KEY (subscription_id, partition)
);

-- A lane whose head failed: its messages from `from_position` on are still to be sent.
CREATE TABLE parked_lane (
    subscription_id TEXT COLLATE "C" NOT NULL,
    customer_id TEXT COLLATE "C" NOT NULL,
    partition BIGINT NOT NULL,
    from_position BIGINT NOT NULL,
    failed_attempts BIGINT NOT NULL, -- of the message at from_position
    next_at BIGINT, -- NULL: held, an operator decides
    last_error TEXT COLLATE "C" NOT NULL,
    parked_at BIGINT NOT NULL,
    PRIMARY KEY (subscription_id, customer_id)
);
CREATE INDEX parked_lane_due ON parked_lane (subscription_id, next_at);

CREATE TABLE dead_letter (
    project TEXT COLLATE "C" NOT NULL,
    id TEXT COLLATE "C" NOT NULL,
    subscription_id TEXT COLLATE "C" NOT NULL,
    position BIGINT NOT NULL,
    message_id TEXT COLLATE "C" NOT NULL,
    customer_id TEXT COLLATE "C" NOT NULL,
    reason TEXT COLLATE "C" NOT NULL, -- exhausted | endpoint_gone | erased
    attempts BIGINT NOT NULL,
    last_error TEXT COLLATE "C" NOT NULL,
    body BYTEA, -- as it was rendered, sealed under the key ring, bound to the dead letter's id
    created_at BIGINT NOT NULL,
    PRIMARY KEY (project, id)
);
CREATE UNIQUE INDEX dead_letter_once ON dead_letter (subscription_id, position);
