-- When a person saw how their job ended. A bot that is killed between the end of a job and the edit of its message owes
-- that edit at its next start. What ended before this column was shown then.

ALTER TABLE job ADD COLUMN shown_at REAL;
UPDATE job SET shown_at = finished_at WHERE finished_at IS NOT NULL;
CREATE INDEX job_end_to_show ON job (id)
  WHERE finished_at IS NOT NULL AND shown_at IS NULL AND message_id IS NOT NULL;
