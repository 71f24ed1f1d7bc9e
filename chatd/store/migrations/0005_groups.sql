-- Groups: finding the people around one, and confirming what must be read.

-- Members, bans, invitations and requests are listed page by page, each however many there are of the others.
CREATE INDEX members_by_standing ON chatd.members (conversation_id, standing, user_id);
CREATE INDEX members_invited ON chatd.members (user_id, conversation_id) WHERE standing = 'invited';

-- Messages that members are asked to confirm. A row comes with its message, under the lock of its log.
CREATE TABLE chatd.must_reads (
    conversation_id uuid NOT NULL,
    seq bigint NOT NULL,
    PRIMARY KEY (conversation_id, seq)
);

-- Who has confirmed which of them. A row is only ever added.
CREATE TABLE chatd.confirmations (
    conversation_id uuid NOT NULL,
    seq bigint NOT NULL,
    user_id text COLLATE "C" NOT NULL,
    at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (conversation_id, seq, user_id)
);
