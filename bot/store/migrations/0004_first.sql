-- The first schema that people have. Times are seconds since 1970 (UTC); ids from Discord are snowflakes.
-- The job row is the reservation: a person's use of a day is SUM(charged) over their rows.

CREATE TABLE job (
  id             INTEGER PRIMARY KEY AUTOINCREMENT,
  state          TEXT NOT NULL,
  attempt        INTEGER NOT NULL DEFAULT 0,
  faults         INTEGER NOT NULL DEFAULT 0,
  -- What the person gave, as typed, and what it was resolved to.
  wish           TEXT,
  request        TEXT NOT NULL,
  -- A verb of the code. Which job it was asked of, and which image there, counted from 0.
  action         TEXT NOT NULL,
  parent_id      INTEGER REFERENCES job (id),
  parent_image   INTEGER,
  user_id        INTEGER NOT NULL,
  guild_id       INTEGER NOT NULL,
  channel_id     INTEGER NOT NULL,
  message_id     INTEGER,
  -- One interaction may ask for several jobs.
  interaction_id INTEGER NOT NULL,
  part           INTEGER NOT NULL DEFAULT 0,
  application_id INTEGER NOT NULL,
  token          TEXT,
  locale         TEXT,
  cost           INTEGER NOT NULL,
  charged        INTEGER NOT NULL,
  created_at     REAL NOT NULL,
  queued_at      REAL,
  started_at     REAL,
  finished_at    REAL,
  -- When a person saw how it ended: a bot that is killed before owes that edit at its next start.
  shown_at       REAL,
  render_seconds REAL,
  engine_seconds REAL,
  -- Why it ended; the sentence is made when it is shown.
  reason_code    TEXT,
  reason_values  TEXT,
  notes          TEXT NOT NULL DEFAULT '[]',
  images         TEXT NOT NULL DEFAULT '[]',
  -- Deleted as soon as somebody asks for it; message and files are gone at removed_at, owed in between.
  deleted_at     REAL,
  removed_at     REAL,

  CONSTRAINT job_is_one_part_of_an_interaction UNIQUE (interaction_id, part),
  CONSTRAINT job_state_is_known CHECK (
    state IN ('accepted', 'queued', 'running', 'rendered', 'delivered', 'failed', 'cancelled')),
  CONSTRAINT job_json_is_valid CHECK (
    json_valid(request) AND json_valid(notes) AND json_valid(images)
    AND json_valid(COALESCE(wish, '{}')) AND json_valid(COALESCE(reason_values, '{}'))),
  CONSTRAINT job_charge_is_within_cost CHECK (cost > 0 AND charged BETWEEN 0 AND cost),
  CONSTRAINT job_counts_are_positive CHECK (attempt >= 0 AND faults >= 0 AND part >= 0),
  CONSTRAINT job_image_is_one_of_a_parent CHECK (
    parent_image IS NULL OR (parent_image >= 0 AND parent_id IS NOT NULL)),
  CONSTRAINT job_reason_is_whole CHECK ((reason_code IS NULL) = (reason_values IS NULL)),
  CONSTRAINT job_was_answered_before_it_waits CHECK (
    state NOT IN ('queued', 'running', 'rendered', 'delivered')
    OR (message_id IS NOT NULL AND queued_at IS NOT NULL)),
  CONSTRAINT job_runs_under_an_attempt CHECK (
    state NOT IN ('running', 'rendered', 'delivered') OR (attempt > 0 AND started_at IS NOT NULL)),
  CONSTRAINT job_end_has_a_time CHECK (
    (state IN ('delivered', 'failed', 'cancelled')) = (finished_at IS NOT NULL)),
  CONSTRAINT job_failure_is_free_and_explained CHECK (
    state <> 'failed' OR (charged = 0 AND reason_code IS NOT NULL)),
  CONSTRAINT job_rendered_has_images CHECK (
    state NOT IN ('rendered', 'delivered') OR json_array_length(images) > 0)
) STRICT;

-- A second press of the same button by the same person while the first one's job lives is refused.
CREATE UNIQUE INDEX one_live_job_per_button ON job (parent_id, action, COALESCE(parent_image, -1), user_id)
  WHERE parent_id IS NOT NULL AND state IN ('accepted', 'queued', 'running', 'rendered');
-- Everything that a person's use of a day and a page of their history are picked by, in the order in which they are shown:
-- no row is looked at but those that are shown, however many there are.
CREATE INDEX job_by_person_and_day ON job (guild_id, user_id, created_at, id, charged, state, deleted_at);
CREATE INDEX job_by_message ON job (message_id) WHERE message_id IS NOT NULL;
CREATE INDEX job_live ON job (state, guild_id, user_id)
  WHERE state IN ('accepted', 'queued', 'running', 'rendered');
CREATE INDEX job_with_token ON job (created_at) WHERE token IS NOT NULL;
CREATE INDEX job_end_to_show ON job (id)
  WHERE finished_at IS NOT NULL AND shown_at IS NULL AND message_id IS NOT NULL;
CREATE INDEX job_end_to_find ON job (id)
  WHERE state = 'cancelled' AND message_id IS NULL AND shown_at IS NULL;
CREATE INDEX job_to_remove ON job (id) WHERE deleted_at IS NOT NULL AND removed_at IS NULL;

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
CREATE INDEX limits_log_by_guild ON limits_log (guild_id, id);

CREATE TABLE guild (
  id        INTEGER PRIMARY KEY,
  time_zone TEXT NOT NULL
) STRICT;

CREATE TABLE note (
  key   TEXT PRIMARY KEY,
  value TEXT NOT NULL
) STRICT, WITHOUT ROWID;
