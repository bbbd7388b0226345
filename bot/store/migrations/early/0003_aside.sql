-- From version 3: its tables step aside for those of the first schema, which are made next.

-- A job that nobody was told of has no message to show its end; rows of version 2 did not say so.
UPDATE job SET shown_at = finished_at
  WHERE state = 'cancelled' AND message_id IS NULL AND shown_at IS NULL AND reason NOT LIKE 'Cancelled by %';

DROP INDEX one_live_job_per_button;
DROP INDEX job_by_person_and_day;
DROP INDEX job_live;
DROP INDEX job_with_token;
DROP INDEX IF EXISTS job_end_to_show;
DROP INDEX IF EXISTS job_end_to_find;
DROP INDEX IF EXISTS job_to_remove;
DROP INDEX IF EXISTS limits_log_by_guild;
ALTER TABLE job RENAME TO early_job;
ALTER TABLE limits RENAME TO early_limits;
ALTER TABLE limits_log RENAME TO early_limits_log;
ALTER TABLE guild RENAME TO early_guild;
ALTER TABLE note RENAME TO early_note;
