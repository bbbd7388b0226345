-- What people do with pictures that are there: copies, defaults and styles, favourites and search, plans of several at once.

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

-- What people keep and look for: favourites, the gallery that a server's admins name, words to search by.

CREATE TABLE favourite (
  user_id INTEGER NOT NULL,
  job_id  INTEGER NOT NULL REFERENCES job (id),
  -- Counted from 0, -1 for all of the job's.
  image   INTEGER NOT NULL CONSTRAINT favourite_image_is_one CHECK (image >= -1),
  at      REAL NOT NULL,
  PRIMARY KEY (user_id, job_id, image)
) STRICT, WITHOUT ROWID;
CREATE INDEX favourite_by_job ON favourite (job_id);

-- Which pictures were posted in a gallery, once ever. The row is there before the message, so that no crash makes a second
-- one; one without a message is either being posted, or has to be looked for.
CREATE TABLE gallery_claim (
  job_id     INTEGER NOT NULL REFERENCES job (id),
  image      INTEGER NOT NULL CONSTRAINT gallery_claim_image_is_one CHECK (image >= -1),
  channel_id INTEGER NOT NULL,
  -- Who starred it.
  user_id    INTEGER NOT NULL,
  claimed_at REAL NOT NULL,
  tries      INTEGER NOT NULL DEFAULT 1,
  message_id INTEGER,
  PRIMARY KEY (job_id, image)
) STRICT, WITHOUT ROWID;

-- What a page of /history was searched by: its buttons carry the number.
CREATE TABLE search (
  id       INTEGER PRIMARY KEY AUTOINCREMENT,
  guild_id INTEGER NOT NULL,
  user_id  INTEGER NOT NULL,
  query    TEXT NOT NULL CONSTRAINT search_query_is_valid CHECK (json_valid(query)),
  at       REAL NOT NULL,
  CONSTRAINT search_is_known_once UNIQUE (guild_id, user_id, query)
) STRICT;
CREATE INDEX search_by_time ON search (at);

-- The words of every job that /history shows. `tags` has one word each for the person in their server, for the channel
-- where everybody saw it, for the model, and for each who starred it: by them the index itself picks what is looked
-- through, which rows would have to be read for, one by one.
CREATE VIEW job_text AS
SELECT id,
       json_extract(request, '$.prompt') AS prompt,
       json_extract(request, '$.negative_prompt') AS negative_prompt,
       json_extract(request, '$.model') AS model,
       'u' || guild_id || 'x' || user_id
       || iif(state = 'delivered' AND reason_code IS NULL, ' c' || channel_id, '')
       || ' m' || hex(json_extract(request, '$.model'))
       || COALESCE((SELECT group_concat(' f' || guild_id || 'x' || favourite.user_id, '')
                    FROM favourite WHERE job_id = job.id), '') AS tags
FROM job
WHERE deleted_at IS NULL
  AND (state = 'delivered' OR state = 'failed' AND EXISTS (
    SELECT 1 FROM json_each(images) WHERE json_extract(value, '$.path') IS NOT NULL));

CREATE VIRTUAL TABLE job_words USING fts5 (
  prompt, negative_prompt, model, tags,
  content = '', tokenize = 'unicode61 remove_diacritics 2');
INSERT INTO job_words (rowid, prompt, negative_prompt, model, tags)
  SELECT id, prompt, negative_prompt, model, tags FROM job_text ORDER BY id;

-- Whoever rebuilds `job` makes its triggers anew, which go with it.
-- The index forgets what a row said before it changes, and learns what it says afterwards.
CREATE TRIGGER job_words_before_change BEFORE UPDATE OF
  state, deleted_at, request, images, reason_code, user_id, guild_id, channel_id ON job
WHEN old.state IN ('delivered', 'failed') BEGIN
  INSERT INTO job_words (job_words, rowid, prompt, negative_prompt, model, tags)
    SELECT 'delete', id, prompt, negative_prompt, model, tags FROM job_text WHERE id = old.id;
END;
CREATE TRIGGER job_words_after_change AFTER UPDATE OF
  state, deleted_at, request, images, reason_code, user_id, guild_id, channel_id ON job
WHEN new.state IN ('delivered', 'failed') BEGIN
  INSERT INTO job_words (rowid, prompt, negative_prompt, model, tags)
    SELECT id, prompt, negative_prompt, model, tags FROM job_text WHERE id = new.id;
END;
CREATE TRIGGER job_words_after_insert AFTER INSERT ON job
WHEN new.state IN ('delivered', 'failed') BEGIN
  INSERT INTO job_words (rowid, prompt, negative_prompt, model, tags)
    SELECT id, prompt, negative_prompt, model, tags FROM job_text WHERE id = new.id;
END;
CREATE TRIGGER job_words_before_delete BEFORE DELETE ON job
WHEN old.state IN ('delivered', 'failed') BEGIN
  INSERT INTO job_words (job_words, rowid, prompt, negative_prompt, model, tags)
    SELECT 'delete', id, prompt, negative_prompt, model, tags FROM job_text WHERE id = old.id;
END;
-- The same for a star; one that is there already changes nothing, and so must not make the index forget.
CREATE TRIGGER job_words_before_star BEFORE INSERT ON favourite
WHEN NOT EXISTS (SELECT 1 FROM favourite
                 WHERE user_id = new.user_id AND job_id = new.job_id AND image = new.image) BEGIN
  INSERT INTO job_words (job_words, rowid, prompt, negative_prompt, model, tags)
    SELECT 'delete', id, prompt, negative_prompt, model, tags FROM job_text WHERE id = new.job_id;
END;
CREATE TRIGGER job_words_after_star AFTER INSERT ON favourite BEGIN
  INSERT INTO job_words (rowid, prompt, negative_prompt, model, tags)
    SELECT id, prompt, negative_prompt, model, tags FROM job_text WHERE id = new.job_id;
END;
CREATE TRIGGER job_words_before_unstar BEFORE DELETE ON favourite BEGIN
  INSERT INTO job_words (job_words, rowid, prompt, negative_prompt, model, tags)
    SELECT 'delete', id, prompt, negative_prompt, model, tags FROM job_text WHERE id = old.job_id;
END;
CREATE TRIGGER job_words_after_unstar AFTER DELETE ON favourite BEGIN
  INSERT INTO job_words (rowid, prompt, negative_prompt, model, tags)
    SELECT id, prompt, negative_prompt, model, tags FROM job_text WHERE id = old.job_id;
END;

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

-- For the eyes of its person alone: `channel_id` is that of their direct messages.
ALTER TABLE job ADD COLUMN private INTEGER NOT NULL DEFAULT 0;
