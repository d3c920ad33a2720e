-- The first schema. Same tables and indexes on both engines; see ARCHITECTURE.md, "What is stored".

CREATE TABLE project (
    project TEXT NOT NULL PRIMARY KEY,
    name TEXT NOT NULL,
    version INTEGER NOT NULL,
    messages_enabled INTEGER NOT NULL,
    messages_days INTEGER NOT NULL, -- /messages hides older ones at once
    created_at INTEGER NOT NULL,
    last_modified_at INTEGER NOT NULL
) STRICT;

CREATE TABLE api_client (
    client_id TEXT NOT NULL PRIMARY KEY,
    project TEXT NOT NULL,
    name TEXT NOT NULL,
    secret BLOB NOT NULL, -- SHA-256 of 192 random bits or more
    scopes TEXT NOT NULL,
    access_token_s INTEGER NOT NULL,
    refresh_token_s INTEGER NOT NULL,
    created_at INTEGER NOT NULL,
    revoked_at INTEGER
) STRICT;
CREATE INDEX api_client_project ON api_client (project, created_at);

-- Access and refresh tokens, by digest. The project is in the row: a token is looked up before its project is known.
CREATE TABLE session (
    digest BLOB NOT NULL PRIMARY KEY,
    kind TEXT NOT NULL, -- access | refresh
    project TEXT NOT NULL,
    client_id TEXT NOT NULL,
    scopes TEXT NOT NULL,
    customer_id TEXT,
    expires_at INTEGER NOT NULL
) STRICT;
CREATE INDEX session_customer ON session (project, customer_id) WHERE customer_id IS NOT NULL;
CREATE INDEX session_expiry ON session (expires_at);
CREATE INDEX session_client ON session (client_id);

CREATE TABLE customer (
    project TEXT NOT NULL,
    id TEXT NOT NULL,
    number TEXT NOT NULL,
    version INTEGER NOT NULL,
    last_sequence INTEGER NOT NULL,
    created_at INTEGER NOT NULL,
    last_modified_at INTEGER NOT NULL,
    created_by TEXT NOT NULL, -- JSON
    last_modified_by TEXT NOT NULL, -- JSON
    email TEXT NOT NULL,
    email_folded TEXT NOT NULL,
    key TEXT,
    external_id TEXT,
    customer_number TEXT,
    authentication_mode TEXT NOT NULL,
    is_email_verified INTEGER NOT NULL,
    first_name TEXT,
    last_name TEXT,
    profile TEXT NOT NULL, -- JSON; first and last name are repeated above for queries
    PRIMARY KEY (project, id)
) STRICT;
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
    project TEXT NOT NULL,
    customer_id TEXT NOT NULL,
    sealed BLOB NOT NULL,
    PRIMARY KEY (project, customer_id)
) STRICT;

CREATE TABLE credential (
    project TEXT NOT NULL,
    customer_id TEXT NOT NULL,
    hash TEXT NOT NULL,
    tail TEXT NOT NULL,
    changed_at INTEGER NOT NULL,
    PRIMARY KEY (project, customer_id)
) STRICT;

CREATE TABLE token (
    project TEXT NOT NULL,
    digest BLOB NOT NULL,
    id TEXT NOT NULL,
    kind TEXT NOT NULL, -- password | email
    customer_id TEXT NOT NULL,
    created_at INTEGER NOT NULL,
    expires_at INTEGER NOT NULL,
    invalidate_older INTEGER NOT NULL,
    created_by TEXT NOT NULL, -- JSON
    valid INTEGER NOT NULL,
    PRIMARY KEY (project, digest)
) STRICT;
CREATE INDEX token_customer ON token (project, customer_id, kind);
CREATE INDEX token_expiry ON token (expires_at);

-- The one log. A row never changes. Ids, types and times only: what is personal lies in log_personal.
CREATE TABLE log (
    position INTEGER PRIMARY KEY AUTOINCREMENT, -- one writer: position order is commit order
    project TEXT NOT NULL,
    kind TEXT NOT NULL, -- message | activity
    id TEXT NOT NULL,
    created_at INTEGER NOT NULL,
    type TEXT NOT NULL,
    resource_type TEXT,
    resource_id TEXT,
    sequence INTEGER,
    resource_version INTEGER,
    customer_id TEXT, -- the lane
    partition INTEGER NOT NULL,
    visible INTEGER NOT NULL, -- to /messages: messages were enabled when it happened
    has_personal INTEGER NOT NULL,
    facts TEXT NOT NULL -- JSON
) STRICT;
CREATE UNIQUE INDEX log_by_id ON log (project, id);
CREATE UNIQUE INDEX log_by_resource ON log (project, resource_id, sequence) WHERE sequence IS NOT NULL;
CREATE INDEX log_by_type ON log (project, type, position);
CREATE INDEX log_by_time ON log (project, created_at, position);
CREATE INDEX log_by_customer ON log (project, customer_id, position);

CREATE TABLE log_personal (
    position INTEGER NOT NULL PRIMARY KEY,
    project TEXT NOT NULL,
    customer_id TEXT NOT NULL,
    sealed BLOB NOT NULL -- under the customer's own key, bound to the entry's id
) STRICT;
CREATE INDEX log_personal_customer ON log_personal (project, customer_id);

-- Token values that entitled receivers may still see; erased when the token is consumed, ended or expired.
CREATE TABLE log_secret (
    position INTEGER NOT NULL PRIMARY KEY,
    project TEXT NOT NULL,
    token_id TEXT NOT NULL,
    expires_at INTEGER NOT NULL,
    sealed BLOB NOT NULL -- under the key ring, bound to the entry's id
) STRICT;
CREATE INDEX log_secret_token ON log_secret (project, token_id);
CREATE INDEX log_secret_expiry ON log_secret (expires_at);

CREATE TABLE subscription (
    project TEXT NOT NULL,
    id TEXT NOT NULL,
    key TEXT,
    version INTEGER NOT NULL,
    created_at INTEGER NOT NULL,
    last_modified_at INTEGER NOT NULL,
    created_by TEXT NOT NULL, -- JSON
    last_modified_by TEXT NOT NULL, -- JSON
    destination TEXT NOT NULL, -- JSON
    secret BLOB, -- the destination's secret, sealed under the key ring, bound to the subscription's id
    messages TEXT NOT NULL, -- JSON
    format TEXT NOT NULL, -- JSON
    status TEXT NOT NULL,
    PRIMARY KEY (project, id)
) STRICT;
CREATE UNIQUE INDEX subscription_by_key ON subscription (project, key) WHERE key IS NOT NULL;

-- Everything up to `position` is delivered, dropped by the filter, parked or put aside, in this partition.
CREATE TABLE delivery_cursor (
    subscription_id TEXT NOT NULL,
    partition INTEGER NOT NULL,
    position INTEGER NOT NULL,
    PRIMARY KEY (subscription_id, partition)
) STRICT;

-- A lane whose head failed: its messages from `from_position` on are still to be sent.
CREATE TABLE parked_lane (
    subscription_id TEXT NOT NULL,
    customer_id TEXT NOT NULL,
    partition INTEGER NOT NULL,
    from_position INTEGER NOT NULL,
    failed_attempts INTEGER NOT NULL, -- of the message at from_position
    next_at INTEGER, -- NULL: held, an operator decides
    last_error TEXT NOT NULL,
    parked_at INTEGER NOT NULL,
    PRIMARY KEY (subscription_id, customer_id)
) STRICT;
CREATE INDEX parked_lane_due ON parked_lane (subscription_id, next_at);

CREATE TABLE dead_letter (
    project TEXT NOT NULL,
    id TEXT NOT NULL,
    subscription_id TEXT NOT NULL,
    position INTEGER NOT NULL,
    message_id TEXT NOT NULL,
    customer_id TEXT NOT NULL,
    reason TEXT NOT NULL, -- exhausted | endpoint_gone | erased
    attempts INTEGER NOT NULL,
    last_error TEXT NOT NULL,
    body BLOB, -- as it was rendered, sealed under the key ring, bound to the dead letter's id
    created_at INTEGER NOT NULL,
    PRIMARY KEY (project, id)
) STRICT;
CREATE UNIQUE INDEX dead_letter_once ON dead_letter (subscription_id, position);
