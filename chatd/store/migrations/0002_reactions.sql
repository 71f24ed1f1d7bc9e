-- Who reacts to which message. A mark stands for an emoji: it is equal for equal emojis on one message, and on no two
-- messages. The emoji itself is sealed in the entry of the log, which stands at seq. Both tables are changed under the
-- lock of the conversation.
CREATE TABLE chatd.reactions (
    conversation_id uuid NOT NULL,
    target_seq bigint NOT NULL,
    user_id text COLLATE "C" NOT NULL,
    mark bytea NOT NULL,
    seq bigint NOT NULL,
    PRIMARY KEY (conversation_id, target_seq, user_id, mark)
);
CREATE INDEX reactions_in_order ON chatd.reactions (conversation_id, target_seq, seq);
CREATE INDEX reactions_by_mark ON chatd.reactions (conversation_id, target_seq, mark, seq);

-- How many there are of each mark, so that a page of history costs the same however many react.
CREATE TABLE chatd.reaction_counts (
    conversation_id uuid NOT NULL,
    target_seq bigint NOT NULL,
    mark bytea NOT NULL,
    reactors integer NOT NULL CHECK (reactors >= 0),
    PRIMARY KEY (conversation_id, target_seq, mark)
) WITH (fillfactor = 70);

-- What people have deleted for themselves. Changed under the lock of that person's event queue.
CREATE TABLE chatd.hidden (
    conversation_id uuid NOT NULL,
    user_id text COLLATE "C" NOT NULL,
    seq bigint NOT NULL,
    PRIMARY KEY (conversation_id, user_id, seq)
);
