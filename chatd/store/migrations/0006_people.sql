-- Who follows and who blocks whom, each seen from both ends, and what people say of themselves.
-- Both ends of a tie, and both kinds of it, are only changed while the event queues of both people are locked.

CREATE TABLE chatd.follows (
    user_id text COLLATE "C" NOT NULL,
    other_id text COLLATE "C" NOT NULL,
    at timestamptz NOT NULL,
    PRIMARY KEY (user_id, other_id)
);
-- Here user_id is the one who is followed.
CREATE TABLE chatd.followers (
    user_id text COLLATE "C" NOT NULL,
    other_id text COLLATE "C" NOT NULL,
    at timestamptz NOT NULL,
    PRIMARY KEY (user_id, other_id)
);
CREATE TABLE chatd.blocks (
    user_id text COLLATE "C" NOT NULL,
    other_id text COLLATE "C" NOT NULL,
    at timestamptz NOT NULL,
    PRIMARY KEY (user_id, other_id)
);
-- Here user_id is the one who is blocked.
CREATE TABLE chatd.blockers (
    user_id text COLLATE "C" NOT NULL,
    other_id text COLLATE "C" NOT NULL,
    at timestamptz NOT NULL,
    PRIMARY KEY (user_id, other_id)
);

-- Whether one of the two in a direct conversation blocks the other: who locks the row sees it, however late it came.
ALTER TABLE chatd.conversations ADD COLUMN blocked boolean NOT NULL DEFAULT false;

-- A profile is the entry of its owner's event queue that gave it, kept here by itself. One with seq 0 was taken from a
-- token, and gives way to any that its owner gives.
CREATE TABLE chatd.profiles (
    user_id text COLLATE "C" PRIMARY KEY,
    seq bigint NOT NULL,
    at timestamptz NOT NULL,
    client_id text COLLATE "C" NOT NULL,
    sealed bytea NOT NULL
) WITH (fillfactor = 70);
