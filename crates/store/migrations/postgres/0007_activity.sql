-- Activity in the order of the log, for operators.

CREATE INDEX log_activity ON log (project, position) WHERE kind = 'activity';
