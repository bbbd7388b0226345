-- The first schema. Times are seconds since 1970 (UTC); ids from Discord are snowflakes.
-- The job row is the reservation: a person's use of a day is SUM(charged) over their rows.

CREATE TABLE job (
  id             INTEGER PRIMARY KEY AUTOINCREMENT,
  state          TEXT NOT NULL,
  attempt        INTEGER NOT NULL DEFAULT 0,
  faults         INTEGER NOT NULL DEFAULT 0,
  request        TEXT NOT NULL,
  action         TEXT NOT NULL,
  parent_id      INTEGER REFERENCES job (id),
  user_id        INTEGER NOT NULL,
  guild_id       INTEGER NOT NULL,
  channel_id     INTEGER NOT NULL,
  message_id     INTEGER,
  interaction_id INTEGER NOT NULL UNIQUE,
  application_id INTEGER NOT NULL,
  token          TEXT,
  cost           INTEGER NOT NULL,
  charged        INTEGER NOT NULL,
  created_at     REAL NOT NULL,
  queued_at      REAL,
  started_at     REAL,
  finished_at    REAL,
  render_seconds REAL,
  engine_seconds REAL,
  reason         TEXT,
  notes          TEXT NOT NULL DEFAULT '[]',
  images         TEXT NOT NULL DEFAULT '[]',
  deleted_at     REAL,

  CONSTRAINT job_state_is_known CHECK (
    state IN ('accepted', 'queued', 'running', 'rendered', 'delivered', 'failed', 'cancelled')),
  CONSTRAINT job_action_is_known CHECK (action IN ('imagine', 'reroll')),
  CONSTRAINT job_json_is_valid CHECK (json_valid(request) AND json_valid(notes) AND json_valid(images)),
  CONSTRAINT job_charge_is_within_cost CHECK (cost > 0 AND charged BETWEEN 0 AND cost),
  CONSTRAINT job_counts_are_positive CHECK (attempt >= 0 AND faults >= 0),
  CONSTRAINT job_was_answered_before_it_waits CHECK (
    state NOT IN ('queued', 'running', 'rendered', 'delivered')
    OR (message_id IS NOT NULL AND queued_at IS NOT NULL)),
  CONSTRAINT job_runs_under_an_attempt CHECK (
    state NOT IN ('running', 'rendered', 'delivered') OR (attempt > 0 AND started_at IS NOT NULL)),
  CONSTRAINT job_end_has_a_time CHECK (
    (state IN ('delivered', 'failed', 'cancelled')) = (finished_at IS NOT NULL)),
  CONSTRAINT job_failure_is_free_and_explained CHECK (
    state <> 'failed' OR (charged = 0 AND reason IS NOT NULL)),
  CONSTRAINT job_rendered_has_images CHECK (
    state NOT IN ('rendered', 'delivered') OR json_array_length(images) > 0)
) STRICT;

-- A second press of the same button by the same person while the first one's job lives is refused.
CREATE UNIQUE INDEX one_live_job_per_button ON job (parent_id, action, user_id)
  WHERE parent_id IS NOT NULL AND state IN ('accepted', 'queued', 'running', 'rendered');
CREATE INDEX job_by_person_and_day ON job (guild_id, user_id, created_at, charged);
CREATE INDEX job_live ON job (state, guild_id, user_id)
  WHERE state IN ('accepted', 'queued', 'running', 'rendered');
CREATE INDEX job_with_token ON job (created_at) WHERE token IS NOT NULL;

CREATE TABLE limits (
  guild_id   INTEGER NOT NULL,
  subject    TEXT NOT NULL CONSTRAINT limits_subject_is_known CHECK (subject IN ('everyone', 'role', 'member')),
  subject_id INTEGER NOT NULL,
  field      TEXT NOT NULL,
  value      INTEGER NOT NULL CONSTRAINT limits_value_is_positive CHECK (value >= 0),
  PRIMARY KEY (guild_id, subject, subject_id, field)
) STRICT, WITHOUT ROWID;

CREATE TABLE limits_log (
  id         INTEGER PRIMARY KEY,
  at         REAL NOT NULL,
  guild_id   INTEGER NOT NULL,
  by_user_id INTEGER NOT NULL,
  subject    TEXT NOT NULL,
  subject_id INTEGER NOT NULL,
  field      TEXT NOT NULL,
  old_value  INTEGER,
  new_value  INTEGER
) STRICT;

CREATE TABLE guild (
  id        INTEGER PRIMARY KEY,
  time_zone TEXT NOT NULL
) STRICT;

CREATE TABLE note (
  key   TEXT PRIMARY KEY,
  value TEXT NOT NULL
) STRICT, WITHOUT ROWID;
