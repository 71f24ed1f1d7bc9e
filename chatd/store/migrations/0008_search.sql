-- What messages are found by, where search is on: keyed hashes of their words, equal only within one conversation.
-- The time is the message's own: results come newest first, out of many conversations, in the order of this index.
CREATE TABLE chatd.search_tokens (
    conversation_id uuid NOT NULL,
    token bigint NOT NULL,
    at timestamptz NOT NULL,
    seq bigint NOT NULL,
    PRIMARY KEY (conversation_id, token, at, seq)
);
-- All tokens of a message, to take them away. Its entries are equal for each message, so PostgreSQL keeps them once.
CREATE INDEX search_tokens_by_message ON chatd.search_tokens (conversation_id, seq);
