-- Which node delivers what, where several share the database. Here there is one, which delivers everything and looks at
-- none of this: the tables are there so that every statement can be prepared on both engines.

CREATE TABLE relay_node (
    id TEXT NOT NULL PRIMARY KEY,
    name TEXT,
    expires_at INTEGER NOT NULL
) STRICT;

CREATE TABLE partition_lease (
    partition INTEGER NOT NULL PRIMARY KEY,
    node_id TEXT,
    epoch INTEGER NOT NULL DEFAULT 0
) STRICT;
