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

-- Where nothing new is taken, by whose word and why. Guild 0 is the whole bot.
CREATE TABLE halt (
  guild_id    INTEGER PRIMARY KEY,
  reason      TEXT NOT NULL,
  -- What waits is drawn all the same.
  is_draining INTEGER NOT NULL CONSTRAINT halt_is_draining_or_not CHECK (is_draining IN (0, 1)),
  by_user_id  INTEGER NOT NULL,
  at          REAL NOT NULL
) STRICT;

-- Whom a server's moderators keep from asking for anything; `until` NULL is for ever.
CREATE TABLE block (
  guild_id   INTEGER NOT NULL,
  user_id    INTEGER NOT NULL,
  by_user_id INTEGER NOT NULL,
  reason     TEXT NOT NULL,
  at         REAL NOT NULL,
  until      REAL,
  PRIMARY KEY (guild_id, user_id)
) STRICT, WITHOUT ROWID;

-- Jobs whose pictures people reported, and the one message in which moderators read of each.
CREATE TABLE reported_job (
  job_id     INTEGER PRIMARY KEY REFERENCES job (id),
  guild_id   INTEGER NOT NULL,
  -- Grows with all that its message has to tell; `told` is what that message shows.
  version    INTEGER NOT NULL,
  told       INTEGER NOT NULL DEFAULT 0,
  channel_id INTEGER,
  message_id INTEGER,
  -- How often it was begun to post one: before a second time it may stand there already.
  tries      INTEGER NOT NULL DEFAULT 0,
  verdict    TEXT CONSTRAINT reported_job_verdict_is_known CHECK (verdict IN ('approved', 'removed')),
  decided_at REAL,
  decided_by INTEGER,
  CONSTRAINT reported_job_is_decided_by_somebody
    CHECK ((verdict IS NULL) = (decided_at IS NULL) AND (verdict IS NULL) = (decided_by IS NULL))
) STRICT;
CREATE INDEX reported_job_to_tell ON reported_job (guild_id, job_id) WHERE told < version;
CREATE INDEX reported_job_open ON reported_job (guild_id, job_id) WHERE verdict IS NULL;

-- Who reported it, once each.
CREATE TABLE report (
  job_id   INTEGER NOT NULL REFERENCES reported_job (job_id),
  user_id  INTEGER NOT NULL,
  guild_id INTEGER NOT NULL,
  -- Which of the job's images, counted from 0; NULL for all of it.
  image    INTEGER,
  reason   TEXT NOT NULL,
  at       REAL NOT NULL,
  PRIMARY KEY (job_id, user_id)
) STRICT, WITHOUT ROWID;
CREATE INDEX report_by_user ON report (guild_id, user_id, at);

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

-- What becomes of pictures that a safety checker flags, as it was settled when the job was asked for; and where
-- moderators are asked about them, how far they are and where.
ALTER TABLE job ADD COLUMN flagged TEXT NOT NULL DEFAULT 'withhold';
ALTER TABLE job ADD COLUMN review TEXT
  CONSTRAINT only_drawn_jobs_are_reviewed CHECK (review IS NULL OR state IN ('rendered', 'delivered', 'failed'));
ALTER TABLE job ADD COLUMN review_message_id INTEGER;

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
