-- Data keys are rotated and destroyed.

-- A destroyed key leaves its row, without the key and with the time: what was written until then is not altered but
-- erased. Whoever comes back is given another key in the same row.
ALTER TABLE chatd.data_keys
    ALTER COLUMN master DROP NOT NULL,
    ALTER COLUMN wrapped DROP NOT NULL,
    ADD COLUMN destroyed_at timestamptz,
    ADD CHECK ((master IS NULL) = (wrapped IS NULL)),
    ADD CHECK (wrapped IS NOT NULL OR destroyed_at IS NOT NULL);

-- A rotation goes through the keys of each version that is not the current one, in the order of their owners.
CREATE INDEX data_keys_by_master ON chatd.data_keys (master, user_id) WHERE wrapped IS NOT NULL;
-- Workers ask for what was destroyed of late.
CREATE INDEX data_keys_destroyed ON chatd.data_keys (destroyed_at) WHERE destroyed_at IS NOT NULL;
