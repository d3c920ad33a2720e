-- Hashes of passwords that were replaced, where a project wants none of them chosen again.

ALTER TABLE project ADD COLUMN passwords_kept BIGINT NOT NULL DEFAULT 0; -- of each customer, the current one among them

CREATE TABLE former_password (
    project TEXT COLLATE "C" NOT NULL,
    customer_id TEXT COLLATE "C" NOT NULL,
    number BIGINT NOT NULL, -- grows with each password of the customer
    hash TEXT COLLATE "C" NOT NULL,
    PRIMARY KEY (project, customer_id, number)
);
