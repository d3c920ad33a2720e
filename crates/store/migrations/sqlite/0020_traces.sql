-- Whatever is told of a request is told in its trace.

ALTER TABLE log ADD COLUMN trace TEXT; -- W3C traceparent, after a space the tracestate. NULL: in none, or from before this
