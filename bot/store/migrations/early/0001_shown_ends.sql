-- From version 1: a row knows when its message showed the end. What had ended before was shown then.
ALTER TABLE job ADD COLUMN shown_at REAL;
UPDATE job SET shown_at = finished_at WHERE finished_at IS NOT NULL;
