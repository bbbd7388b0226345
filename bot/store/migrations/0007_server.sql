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

-- What its person weighs in the line, as it was when they asked for it: roles are not known after a restart.
ALTER TABLE job ADD COLUMN weight INTEGER NOT NULL DEFAULT 1 CONSTRAINT job_weighs_something CHECK (weight > 0);

-- A server's night, in which credits of its own are counted: full hours of its clock.
CREATE TABLE night (
  guild_id INTEGER PRIMARY KEY,
  begins   INTEGER NOT NULL,
  ends     INTEGER NOT NULL,
  CONSTRAINT night_has_two_hours CHECK (begins BETWEEN 0 AND 23 AND ends BETWEEN 0 AND 23 AND begins <> ends)
) STRICT;

-- What people may draw with, do and where: a kind of which nothing is listed for everyone is open to all.
CREATE TABLE permit (
  guild_id   INTEGER NOT NULL,
  kind       TEXT NOT NULL,
  subject    TEXT NOT NULL CONSTRAINT permit_subject_is_known CHECK (subject IN ('everyone', 'role', 'member')),
  subject_id INTEGER NOT NULL,
  -- Empty: nothing, so that there is a list.
  name       TEXT NOT NULL,
  PRIMARY KEY (guild_id, kind, subject, subject_id, name)
) STRICT, WITHOUT ROWID;
