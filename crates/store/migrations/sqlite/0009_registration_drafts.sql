-- Registrations as they came to be: nothing has written one yet.

DROP TABLE registration;
CREATE TABLE registration (
    project TEXT NOT NULL,
    email_folded TEXT NOT NULL,
    id TEXT NOT NULL, -- the lane of its messages
    sealed BLOB, -- the draft, under the key ring, bound to this row. NULL: nothing of it is kept
    proof BLOB, -- MAC of the password that the draft was begun with. NULL: it has none
    awaits_code INTEGER NOT NULL,
    begun INTEGER NOT NULL, -- at the provider, which did not have the address
    code BLOB, -- MAC of the code that was mailed last. NULL: none, or it was tried too often
    attempts_left INTEGER NOT NULL,
    codes_left INTEGER NOT NULL,
    code_expires_at INTEGER NOT NULL,
    created_at INTEGER NOT NULL,
    expires_at INTEGER NOT NULL,
    PRIMARY KEY (project, email_folded)
) STRICT;
CREATE INDEX registration_expiry ON registration (expires_at);
