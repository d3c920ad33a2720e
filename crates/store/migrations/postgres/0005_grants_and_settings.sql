-- Visitors' tokens and what a refresh token has granted; what the configuration said of a project; a store's places.

ALTER TABLE session ADD COLUMN anonymous_id TEXT COLLATE "C"; -- of a token of the anonymous flow
ALTER TABLE session ADD COLUMN refresh_digest BYTEA; -- of an access token: the refresh token that it ends with
CREATE INDEX session_anonymous ON session (project, anonymous_id) WHERE anonymous_id IS NOT NULL;
CREATE INDEX session_refresh ON session (refresh_digest) WHERE refresh_digest IS NOT NULL;

ALTER TABLE project ADD COLUMN languages TEXT COLLATE "C" NOT NULL DEFAULT '[]'; -- JSON, language tags
-- JSON: the messages setting that the configuration named when it was applied last. NULL: none yet.
ALTER TABLE project ADD COLUMN messages_configured TEXT COLLATE "C";

ALTER TABLE shop ADD COLUMN languages TEXT COLLATE "C" NOT NULL DEFAULT '[]'; -- JSON, language tags
ALTER TABLE shop ADD COLUMN countries TEXT COLLATE "C" NOT NULL DEFAULT '[]'; -- JSON, country codes
