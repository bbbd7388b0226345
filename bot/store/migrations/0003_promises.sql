-- A picture is deleted as soon as somebody asks for it (deleted_at); its message and files are gone at removed_at. A bot
-- that is killed in between owes the rest at its next start. What was deleted before this column went at once.

ALTER TABLE job ADD COLUMN removed_at REAL;
UPDATE job SET removed_at = deleted_at WHERE deleted_at IS NOT NULL;
CREATE INDEX job_end_to_find ON job (id) WHERE state = 'cancelled' AND message_id IS NULL AND shown_at IS NULL;
CREATE INDEX job_to_remove ON job (id) WHERE deleted_at IS NOT NULL AND removed_at IS NULL;

-- Everything that a person's use of a day and a page of their history are picked by, in the order in which they are shown:
-- no row is looked at but those that are shown, however many there are.
DROP INDEX job_by_person_and_day;
CREATE INDEX job_by_person_and_day ON job (guild_id, user_id, created_at, id, charged, state, deleted_at);

CREATE INDEX limits_log_by_guild ON limits_log (guild_id, id);
