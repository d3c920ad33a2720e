-- Which node delivers what, where several share the database.

CREATE TABLE relay_node (
    id TEXT COLLATE "C" PRIMARY KEY, -- of this membership: another one each time that the node joins
    name TEXT COLLATE "C", -- the operator's; NULL: none
    expires_at BIGINT NOT NULL -- by this database's clock
);

CREATE TABLE partition_lease (
    partition BIGINT PRIMARY KEY,
    node_id TEXT COLLATE "C", -- the member that took it last and did not let it go; held while that is in relay_node
    epoch BIGINT NOT NULL DEFAULT 0 -- how often it was taken: writes that carry another one are refused
);
INSERT INTO partition_lease (partition) SELECT generate_series(0, 63);
