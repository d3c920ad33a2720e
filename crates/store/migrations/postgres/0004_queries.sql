-- Queries: what an index finds comes in the order that is asked for.

-- Messages of a type in the order of time, and of id for those who page by it.
DROP INDEX log_by_type;
CREATE INDEX log_by_type_and_time ON log (project, type, created_at, position);
CREATE INDEX log_by_type_and_id ON log (project, type, id);
