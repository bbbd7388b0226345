-- Who changed, cancelled, deleted, blocked, approved what: written with the change. Guild 0 is the whole bot.
CREATE TABLE audit (
  id         INTEGER PRIMARY KEY,
  at         REAL NOT NULL,
  guild_id   INTEGER NOT NULL,
  by_user_id INTEGER NOT NULL,
  -- A verb of the code.
  deed       TEXT NOT NULL,
  -- Whom and which job it concerns.
  user_id    INTEGER,
  job_id     INTEGER,
  details    TEXT NOT NULL DEFAULT '{}' CONSTRAINT audit_details_are_json CHECK (json_valid(details))
) STRICT;
INSERT INTO audit (at, guild_id, by_user_id, deed, user_id, details)
  SELECT at, guild_id, by_user_id, 'limits', CASE subject WHEN 'member' THEN subject_id END,
    json_object('subject', subject, 'subject_id', subject_id, 'field', field, 'old', old_value, 'new', new_value)
  FROM limits_log ORDER BY id;
DROP TABLE limits_log;
CREATE INDEX audit_by_guild ON audit (guild_id, id);
CREATE INDEX audit_by_deed ON audit (guild_id, deed, id);

-- What becomes of pictures that a safety checker flags, as it was settled when the job was asked for; and where
-- moderators are asked about them, how far they are and where.
ALTER TABLE job ADD COLUMN flagged TEXT NOT NULL DEFAULT 'withhold';
ALTER TABLE job ADD COLUMN review TEXT
  CONSTRAINT only_drawn_jobs_are_reviewed CHECK (review IS NULL OR state IN ('rendered', 'delivered', 'failed'));
ALTER TABLE job ADD COLUMN review_message_id INTEGER;
