-- Whoever has a picture delivered does not wait while the index of words merges its parts: `bot/store/upkeep.py` does that
-- behind the answers, a piece at a time. Where it could not for so long, SQLite does it at once.
INSERT INTO job_words (job_words, rank) VALUES ('automerge', 0);
INSERT INTO job_words (job_words, rank) VALUES ('crisismerge', 400);

-- What a server's admins forbid in prompts, and what they allow all the same.
CREATE TABLE rule_word (
  guild_id   INTEGER NOT NULL,
  kind       TEXT NOT NULL CONSTRAINT rule_word_kind_is_known CHECK (kind IN ('forbidden', 'allowed')),
  -- A word, several, or one with * at an end.
  entry      TEXT NOT NULL,
  by_user_id INTEGER NOT NULL,
  at         REAL NOT NULL,
  PRIMARY KEY (guild_id, kind, entry)
) STRICT, WITHOUT ROWID;
