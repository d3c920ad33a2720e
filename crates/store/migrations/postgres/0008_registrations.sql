-- What a customer's row has no place for, and registrations that are not customers yet.

CREATE TABLE user_record (
    project TEXT COLLATE "C" NOT NULL,
    customer_id TEXT COLLATE "C" NOT NULL,
    metadata TEXT COLLATE "C" NOT NULL, -- JSON, an object of the caller's own
    last_logout_at BIGINT,
    PRIMARY KEY (project, customer_id)
);

-- One per address: begun and not yet known to be done at the provider, or waiting for the address to be proved.
CREATE TABLE registration (
    project TEXT COLLATE "C" NOT NULL,
    email_folded TEXT COLLATE "C" NOT NULL,
    id TEXT COLLATE "C" NOT NULL, -- the lane of its messages
    sealed BYTEA NOT NULL, -- the draft, under the key ring, bound to this row
    proof BYTEA, -- MAC of the password that the draft was begun with. NULL: it has none
    awaits_code BIGINT NOT NULL,
    code BYTEA, -- MAC of the code that was mailed last. NULL: none, or it was tried too often
    attempts_left BIGINT NOT NULL,
    codes_left BIGINT NOT NULL,
    code_expires_at BIGINT NOT NULL,
    created_at BIGINT NOT NULL,
    expires_at BIGINT NOT NULL,
    PRIMARY KEY (project, email_folded)
);
CREATE INDEX registration_expiry ON registration (expires_at);
