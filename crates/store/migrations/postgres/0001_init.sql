-- The first form.
CREATE TABLE keyherald_placeholder (id TEXT PRIMARY KEY);
