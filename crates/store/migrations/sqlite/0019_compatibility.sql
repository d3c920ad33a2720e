-- Which older programs may still use the database: those that know all migrations up to `oldest`. A migration that only adds
-- what they need not know leaves it; one that takes something from them sets it to its own number.

CREATE TABLE keyherald_compatibility (oldest INTEGER NOT NULL) STRICT;
INSERT INTO keyherald_compatibility (oldest) VALUES (19);
