-- From version 2: message and files of a deleted picture are gone at a time of their own. What was deleted before went at once.
ALTER TABLE job ADD COLUMN removed_at REAL;
UPDATE job SET removed_at = deleted_at WHERE deleted_at IS NOT NULL;
