-- What is pinned is read page by page in the order of the log. Without seq in the index PostgreSQL goes through the
-- whole log to find the next page of it.
DROP INDEX chatd.messages_pinned;
CREATE INDEX messages_pinned ON chatd.messages (conversation_id, seq) WHERE pinned_seq IS NOT NULL;
