-- What a subscription is sent of what it asks for, and in which form of its own. NULL: all, and in none.

ALTER TABLE subscription ADD COLUMN filter TEXT;         -- {"stores", "flows", "where"}
ALTER TABLE subscription ADD COLUMN transformation TEXT; -- {"template", "contentType"}
