-- What subscriptions want besides messages. A log row of the kind 'change' has no sequence: it is for subscriptions alone.

ALTER TABLE subscription ADD COLUMN changes TEXT NOT NULL DEFAULT '[]'; -- JSON, resource types
ALTER TABLE subscription ADD COLUMN events TEXT NOT NULL DEFAULT '[]'; -- JSON
-- Every change of a resource asks whether anybody wants to hear of it.
CREATE INDEX subscription_changes ON subscription (project, changes) WHERE changes <> '[]';
