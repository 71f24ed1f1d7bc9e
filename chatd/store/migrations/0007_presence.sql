-- Who is online. A worker has a lease, which it renews by one row however many people are connected to it, and rows that
-- say as what they are: they count while its lease runs. A lease that has run out is never renewed; whoever held it
-- begins anew under another id, so that nothing stale is ever written.

-- Both tables are unlogged: what they hold is true for seconds, and is written anew by those whom it concerns after a
-- crash of PostgreSQL has emptied them. So renewals cost the log of PostgreSQL nothing.

-- The one small table without a distribution key: a row for each worker process. On a cluster it is a reference table.
CREATE UNLOGGED TABLE chatd.workers (
    worker_id uuid PRIMARY KEY,
    renewed_at timestamptz NOT NULL,
    expires_at timestamptz NOT NULL
);
CREATE INDEX workers_by_expiry ON chatd.workers (expires_at);

CREATE UNLOGGED TABLE chatd.presence (
    user_id text COLLATE "C" NOT NULL,
    worker_id uuid NOT NULL,
    status text COLLATE "C" NOT NULL CHECK (status IN ('online', 'away', 'invisible')),
    PRIMARY KEY (user_id, worker_id)
);
CREATE INDEX presence_by_worker ON chatd.presence (worker_id);

-- When people were last seen, to the second: it outlives crashes, so it is logged.
CREATE TABLE chatd.last_seen (
    user_id text COLLATE "C" PRIMARY KEY,
    at timestamptz NOT NULL
) WITH (fillfactor = 70);
