-- Which devices a person uses, which tokens they have shown, and which tokens are no longer taken.

CREATE TABLE chatd.devices (
    user_id text COLLATE "C" NOT NULL,
    device_id text COLLATE "C" NOT NULL,
    first_at timestamptz NOT NULL DEFAULT now(),
    last_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (user_id, device_id)
) WITH (fillfactor = 70);

-- By their "jti", so that they can be revoked along with the device that showed them. Gone once they have expired.
CREATE TABLE chatd.shown_tokens (
    user_id text COLLATE "C" NOT NULL,
    device_id text COLLATE "C" NOT NULL,
    token_id text COLLATE "C" NOT NULL,
    expires_at timestamptz NOT NULL,
    PRIMARY KEY (user_id, device_id, token_id)
);

-- With a token_id: that token. With a device_id: what that device shows, if it was issued until issued_until. With
-- neither: whatever of this person was issued until then, but for the token that is spared. A row is needed until all
-- that it refuses would have expired. Workers ask for what is new by "at".
CREATE TABLE chatd.revocations (
    user_id text COLLATE "C" NOT NULL,
    device_id text COLLATE "C" NOT NULL,
    token_id text COLLATE "C" NOT NULL,
    issued_until timestamptz NOT NULL,
    spared text COLLATE "C" NOT NULL DEFAULT '',
    kept_until timestamptz NOT NULL,
    at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (user_id, device_id, token_id)
);
CREATE INDEX revocations_by_time ON chatd.revocations (at);
CREATE INDEX revocations_by_end ON chatd.revocations (kept_until);
