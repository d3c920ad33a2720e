-- What a customer's row has no place for, and registrations that are not customers yet.

CREATE TABLE user_record (
    project TEXT NOT NULL,
    customer_id TEXT NOT NULL,
    metadata TEXT NOT NULL, -- JSON, an object of the caller's own
    last_logout_at INTEGER,
    PRIMARY KEY (project, customer_id)
) STRICT;

-- One per address: begun and not yet known to be done at the provider, or waiting for the address to be proved.
CREATE TABLE registration (
    project TEXT NOT NULL,
    email_folded TEXT NOT NULL,
    id TEXT NOT NULL, -- the lane of its messages
    sealed BLOB NOT NULL, -- the draft, under the key ring, bound to this row
    proof BLOB, -- MAC of the password that the draft was begun with. NULL: it has none
    awaits_code INTEGER NOT NULL,
    code BLOB, -- MAC of the code that was mailed last. NULL: none, or it was tried too often
    attempts_left INTEGER NOT NULL,
    codes_left INTEGER NOT NULL,
    code_expires_at INTEGER NOT NULL,
    created_at INTEGER NOT NULL,
    expires_at INTEGER NOT NULL,
    PRIMARY KEY (project, email_folded)
) STRICT;
CREATE INDEX registration_expiry ON registration (expires_at);
