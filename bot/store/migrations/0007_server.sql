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

-- Who wants all of theirs to be gone: the row is there before anything else happens, and goes when nothing is left under
-- their number. `emptied_at`: nothing of theirs can be read any more, but for messages that are still being removed.
CREATE TABLE erasure (
  user_id    INTEGER PRIMARY KEY,
  asked_at   REAL NOT NULL,
  emptied_at REAL
) STRICT;
-- Its words are gone; what the books count is kept.
ALTER TABLE job ADD COLUMN erased_at REAL;
CREATE INDEX job_erased ON job (user_id, removed_at, id)
  WHERE erased_at IS NOT NULL AND deleted_at IS NOT NULL AND user_id <> 0;
