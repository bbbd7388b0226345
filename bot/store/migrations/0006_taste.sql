-- How people and channels want their pictures where nothing is said, and the styles of a server.

CREATE TABLE preference (
  scope    TEXT NOT NULL,
  -- A person's or a channel's.
  scope_id INTEGER NOT NULL,
  name     TEXT NOT NULL,
  value    TEXT NOT NULL,
  PRIMARY KEY (scope, scope_id, name)
) STRICT, WITHOUT ROWID;

CREATE TABLE style (
  guild_id        INTEGER NOT NULL,
  -- By which no two of a server are the same, whatever their capitals.
  folded          TEXT NOT NULL,
  name            TEXT NOT NULL,
  prompt          TEXT NOT NULL,
  negative_prompt TEXT NOT NULL,
  by_user_id      INTEGER NOT NULL,
  at              REAL NOT NULL,
  PRIMARY KEY (guild_id, folded)
) STRICT, WITHOUT ROWID;

-- Pictures that a channel wants covered until somebody looks.
ALTER TABLE job ADD COLUMN spoiler INTEGER NOT NULL DEFAULT 0;
