-- Several requests at once: what is shown before anything is drawn, and what is gathered in one message.

CREATE TABLE plan (
  id         INTEGER PRIMARY KEY AUTOINCREMENT,
  guild_id   INTEGER NOT NULL,
  user_id    INTEGER NOT NULL,
  channel_id INTEGER NOT NULL,
  token      TEXT NOT NULL,
  -- In the order in which they were shown: what was typed, and what it was resolved to, seeds included.
  requests   TEXT NOT NULL CONSTRAINT plan_json_is_valid CHECK (json_valid(requests)),
  expires_at REAL NOT NULL
) STRICT;

-- How many jobs one interaction asked for.
ALTER TABLE job ADD COLUMN parts INTEGER NOT NULL DEFAULT 1 CONSTRAINT job_has_parts CHECK (parts > 0);
