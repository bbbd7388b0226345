-- Messages that show pictures of a job besides its own: what was taken out of a set, and what was shown again.

CREATE TABLE copy (
  message_id INTEGER PRIMARY KEY,
  channel_id INTEGER NOT NULL,
  guild_id   INTEGER NOT NULL,
  job_id     INTEGER NOT NULL REFERENCES job (id),
  -- Who had it posted.
  user_id    INTEGER NOT NULL,
  at         REAL NOT NULL
) STRICT;
CREATE INDEX copy_by_job ON copy (job_id);

-- What was made from a job's pictures.
CREATE INDEX job_by_parent ON job (parent_id, id) WHERE parent_id IS NOT NULL;
