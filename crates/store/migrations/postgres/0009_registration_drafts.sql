-- Registrations as they came to be: nothing has written one yet.

DROP TABLE registration;
CREATE TABLE registration (
    project TEXT COLLATE "C" NOT NULL,
    email_folded TEXT COLLATE "C" NOT NULL,
    id TEXT COLLATE "C" NOT NULL, -- the lane of its messages
    sealed BYTEA, -- the draft, under the key ring, bound to this row. NULL: nothing of it is kept
    proof BYTEA, -- MAC of the password that the draft was begun with. NULL: it has none
    awaits_code BIGINT NOT NULL,
    begun BIGINT NOT NULL, -- at the provider, which did not have the address
    code BYTEA, -- MAC of the code that was mailed last. NULL: none, or it was tried too often
    attempts_left BIGINT NOT NULL,
    codes_left BIGINT NOT NULL,
    code_expires_at BIGINT NOT NULL,
    created_at BIGINT NOT NULL,
    expires_at BIGINT NOT NULL,
    PRIMARY KEY (project, email_folded)
);
CREATE INDEX registration_expiry ON registration (expires_at);
