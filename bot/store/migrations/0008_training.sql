-- What people teach a model, from pictures that they add in the chat. Its row says what it costs, like a job's.
CREATE TABLE training (
  id            INTEGER PRIMARY KEY,
  guild_id      INTEGER NOT NULL,
  user_id       INTEGER NOT NULL,
  -- Of the LoRA: a file, of which there is one whatever the server.
  name          TEXT NOT NULL,
  trigger_words TEXT NOT NULL,
  model         TEXT NOT NULL,
  steps         INTEGER NOT NULL CONSTRAINT training_has_steps CHECK (steps > 0),
  state         TEXT NOT NULL DEFAULT 'collecting' CONSTRAINT training_state_is_known
                CHECK (state IN ('collecting', 'waiting', 'running', 'done', 'failed', 'cancelled')),
  cost          INTEGER NOT NULL DEFAULT 0,
  charged       INTEGER NOT NULL DEFAULT 0,
  -- Steps that are kept.
  done          INTEGER NOT NULL DEFAULT 0,
  reason_code   TEXT,
  reason_values TEXT CONSTRAINT training_reason_is_json CHECK (reason_values IS NULL OR json_valid(reason_values)),
  -- The message that says how it stands.
  channel_id    INTEGER,
  message_id    INTEGER,
  -- Who may draw with what came of it: the maker, a role, all.
  sharing       TEXT NOT NULL DEFAULT 'maker',
  role_id       INTEGER,
  locale        TEXT NOT NULL DEFAULT '',
  created_at    REAL NOT NULL,
  paid_at       REAL,
  started_at    REAL,
  finished_at   REAL,
  -- Its message says that it is over.
  shown_at      REAL,
  -- Its words and pictures are gone; what it cost is kept.
  deleted_at    REAL,
  CONSTRAINT training_charges_no_more_than_it_costs CHECK (charged BETWEEN 0 AND cost),
  CONSTRAINT training_does_no_more_than_its_steps CHECK (done BETWEEN 0 AND steps),
  CONSTRAINT training_is_paid_for_before_it_is_begun CHECK (state = 'collecting' OR paid_at IS NOT NULL),
  CONSTRAINT training_ends_at_some_time CHECK ((state IN ('done', 'failed', 'cancelled')) = (finished_at IS NOT NULL))
) STRICT;
CREATE UNIQUE INDEX training_by_name ON training (lower(name))
  WHERE deleted_at IS NULL AND state NOT IN ('failed', 'cancelled');
CREATE INDEX training_by_person ON training (guild_id, user_id, paid_at);
CREATE INDEX training_under_way ON training (id) WHERE state IN ('waiting', 'running');

CREATE TABLE training_picture (
  training_id INTEGER NOT NULL REFERENCES training (id) ON DELETE CASCADE,
  number      INTEGER NOT NULL,
  -- SHA-256 of its file.
  digest      TEXT NOT NULL,
  caption     TEXT NOT NULL DEFAULT '',
  size_bytes  INTEGER NOT NULL,
  width       INTEGER NOT NULL,
  height      INTEGER NOT NULL,
  PRIMARY KEY (training_id, number),
  UNIQUE (training_id, digest)
) STRICT, WITHOUT ROWID;
