-- What a subscription is sent of what it asks for, and in which form of its own. NULL: all, and in none.

ALTER TABLE subscription ADD COLUMN filter TEXT COLLATE "C";         -- {"stores", "flows", "where"}
ALTER TABLE subscription ADD COLUMN transformation TEXT COLLATE "C"; -- {"template", "contentType"}
