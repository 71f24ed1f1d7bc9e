-- While an epoch lasts, logs only grow. When the database may have gone back, another one begins, and cursors of the one
-- before it are not believed.

CREATE TABLE chatd.epoch (
    one boolean PRIMARY KEY DEFAULT true CHECK (one),
    epoch text NOT NULL,
    -- Where the database was when it began: a restored copy bears the old epoch, and is somewhere else.
    place text NOT NULL,
    since timestamptz NOT NULL DEFAULT now()
);
