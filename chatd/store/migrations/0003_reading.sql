-- How far people have read, and what they have set for themselves.

-- "read_seq" is how far somebody has read, "shown_seq" how far they let the others know. Neither is indexed: a mark
-- moves with nearly every message, and then changes in place.
ALTER TABLE chatd.members
    ADD COLUMN read_seq bigint NOT NULL DEFAULT 0,
    ADD COLUMN shown_seq bigint NOT NULL DEFAULT 0;

-- A person's own settings of a conversation; a row is only ever written under the lock of that person's event queue.
-- A conversation was archived when its log stood at "archived_seq", which a later message undoes (see docs/design).
CREATE TABLE chatd.personal (
    user_id text COLLATE "C" NOT NULL,
    conversation_id uuid NOT NULL,
    muted boolean NOT NULL DEFAULT false,
    muted_until timestamptz,
    archived_seq bigint,
    private_reading boolean NOT NULL DEFAULT false,
    PRIMARY KEY (user_id, conversation_id)
) WITH (fillfactor = 70);
