-- Whoever has a picture delivered does not wait while the index of words merges its parts: `bot/store/upkeep.py` does that
-- behind the answers, a piece at a time. Where it could not for so long, SQLite does it at once.
INSERT INTO job_words (job_words, rank) VALUES ('automerge', 0);
INSERT INTO job_words (job_words, rank) VALUES ('crisismerge', 400);
