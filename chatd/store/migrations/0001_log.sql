-- The log: conversations with their counters, what stands in them, and how far each reader has come.
-- Every primary key begins with the column by which the table would be distributed, conversation_id or user_id.

-- Text is compared by code point: under a locale's collation an upgrade of the C library may change the order, which
-- corrupts indexes in silence, the one on the receipts among them.

-- Half-empty pages: the counter of a busy conversation changes in place (HOT), without touching the index.
-- "access" counts the changes of rights: what was allowed under one of its values is allowed while it stands.
CREATE TABLE chatd.conversations (
    conversation_id uuid PRIMARY KEY,
    kind text COLLATE "C" NOT NULL CHECK (kind IN ('direct', 'group', 'queue')),
    last_seq bigint NOT NULL DEFAULT 0,
    access bigint NOT NULL DEFAULT 0,
    member_count integer NOT NULL DEFAULT 0,
    posting text COLLATE "C" NOT NULL DEFAULT 'member',
    inviting text COLLATE "C" NOT NULL DEFAULT 'admin',
    editing text COLLATE "C" NOT NULL DEFAULT 'admin',
    joining text COLLATE "C" NOT NULL DEFAULT 'invitation',
    history text COLLATE "C" NOT NULL DEFAULT 'joined',
    profile_seq bigint NOT NULL DEFAULT 0,
    opened boolean NOT NULL DEFAULT true,
    closed boolean NOT NULL DEFAULT false,
    created_at timestamptz NOT NULL DEFAULT now(),
    last_at timestamptz NOT NULL DEFAULT now()
) WITH (fillfactor = 50);

-- How people stand to conversations. The log is theirs behind since_seq, and up to
-- until_seq where they have left. The marks only move forward.
CREATE TABLE chatd.members (
    conversation_id uuid NOT NULL,
    user_id text COLLATE "C" NOT NULL,
    standing text COLLATE "C" NOT NULL DEFAULT 'member'
        CHECK (standing IN ('member', 'invited', 'asking', 'banned', 'left')),
    role text COLLATE "C" NOT NULL DEFAULT 'member',
    since_seq bigint NOT NULL DEFAULT 0,
    until_seq bigint,
    muted_until timestamptz,
    expires_at timestamptz,
    by_user text COLLATE "C",
    blocking boolean NOT NULL DEFAULT false,
    delivered_seq bigint NOT NULL DEFAULT 0,
    joined_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (conversation_id, user_id)
) WITH (fillfactor = 70);
CREATE INDEX members_by_user ON chatd.members (user_id);

-- The main body of the log. What has become of a message stands beside it: where it was last edited, pinned and
-- deleted, and which message began its thread. The text of a deleted message is empty, here and in its edits.
CREATE TABLE chatd.messages (
    conversation_id uuid NOT NULL,
    seq bigint NOT NULL,
    at timestamptz NOT NULL,
    author text COLLATE "C" NOT NULL,
    client_id text COLLATE "C" NOT NULL,
    sealed bytea NOT NULL,
    thread_seq bigint,
    edited_seq bigint,
    pinned_seq bigint,
    deleted_seq bigint,
    PRIMARY KEY (conversation_id, seq)
);
CREATE INDEX messages_by_thread ON chatd.messages (conversation_id, thread_seq, seq) WHERE thread_seq IS NOT NULL;
CREATE INDEX messages_pinned ON chatd.messages (conversation_id, pinned_seq) WHERE pinned_seq IS NOT NULL;

-- Everything else that stands in a log, numbered by the same counter. What concerns a message names it.
CREATE TABLE chatd.changes (
    conversation_id uuid NOT NULL,
    seq bigint NOT NULL,
    at timestamptz NOT NULL,
    kind text COLLATE "C" NOT NULL,
    author text COLLATE "C" NOT NULL,
    client_id text COLLATE "C" NOT NULL,
    target_seq bigint,
    sealed bytea NOT NULL,
    erased boolean NOT NULL DEFAULT false,
    PRIMARY KEY (conversation_id, seq)
);
CREATE INDEX changes_by_target ON chatd.changes (conversation_id, target_seq, seq) WHERE target_seq IS NOT NULL;

-- Who is named in which message.
CREATE TABLE chatd.mentions (
    conversation_id uuid NOT NULL,
    user_id text COLLATE "C" NOT NULL,
    seq bigint NOT NULL,
    PRIMARY KEY (conversation_id, user_id, seq)
);
CREATE INDEX mentions_by_message ON chatd.mentions (conversation_id, seq);

-- What a client_id was used for, for ever: its unique index is what makes a repeat impossible.
CREATE TABLE chatd.receipts (
    user_id text COLLATE "C" NOT NULL,
    client_id text COLLATE "C" NOT NULL,
    conversation_id uuid NOT NULL,
    seq bigint NOT NULL,
    at timestamptz NOT NULL,
    digest bytea NOT NULL,
    PRIMARY KEY (user_id, client_id)
);

CREATE TABLE chatd.device_cursors (
    user_id text COLLATE "C" NOT NULL,
    device_id text COLLATE "C" NOT NULL,
    conversation_id uuid NOT NULL,
    seq bigint NOT NULL,
    PRIMARY KEY (user_id, device_id, conversation_id)
) WITH (fillfactor = 70);

CREATE TABLE chatd.data_keys (
    user_id text COLLATE "C" PRIMARY KEY,
    master text COLLATE "C" NOT NULL,
    wrapped bytea NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now()
);
