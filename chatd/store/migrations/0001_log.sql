-- The log: conversations with their counters, what stands in them, and how far each reader has come.
-- Every primary key begins with the column by which the table would be distributed, conversation_id or user_id.

-- Text is compared by code point: under a locale's collation an upgrade of the C library may change the order, which
-- corrupts indexes in silence, the one on the receipts among them.

-- Half-empty pages: the counter of a busy conversation changes in place (HOT), without touching the index.
CREATE TABLE chatd.conversations (
    conversation_id uuid PRIMARY KEY,
    kind text COLLATE "C" NOT NULL CHECK (kind IN ('direct', 'queue')),
    last_seq bigint NOT NULL DEFAULT 0,
    created_at timestamptz NOT NULL DEFAULT now(),
    last_at timestamptz NOT NULL DEFAULT now()
) WITH (fillfactor = 50);

CREATE TABLE chatd.members (
    conversation_id uuid NOT NULL,
    user_id text COLLATE "C" NOT NULL,
    delivered_seq bigint NOT NULL DEFAULT 0,
    joined_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (conversation_id, user_id)
) WITH (fillfactor = 70);
CREATE INDEX members_by_user ON chatd.members (user_id);

-- The main body of the log.
CREATE TABLE chatd.messages (
    conversation_id uuid NOT NULL,
    seq bigint NOT NULL,
    at timestamptz NOT NULL,
    author text COLLATE "C" NOT NULL,
    client_id text COLLATE "C" NOT NULL,
    sealed bytea NOT NULL,
    PRIMARY KEY (conversation_id, seq)
);

-- Everything else that stands in a log, numbered by the same counter.
CREATE TABLE chatd.changes (
    conversation_id uuid NOT NULL,
    seq bigint NOT NULL,
    at timestamptz NOT NULL,
    kind text COLLATE "C" NOT NULL,
    author text COLLATE "C" NOT NULL,
    client_id text COLLATE "C" NOT NULL,
    sealed bytea NOT NULL,
    PRIMARY KEY (conversation_id, seq)
);

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
