-- The rows of early tables, in the first schema. A reason was a sentence then, and is told as it was.

INSERT INTO job (id, state, attempt, faults, request, action, parent_id, user_id, guild_id, channel_id, message_id,
                 interaction_id, application_id, token, cost, charged, created_at, queued_at, started_at, finished_at,
                 shown_at, render_seconds, engine_seconds, reason_code, reason_values, notes, images, deleted_at, removed_at)
SELECT id, state, attempt, faults, request, action, parent_id, user_id, guild_id, channel_id, message_id,
       interaction_id, application_id, token, cost, charged, created_at, queued_at, started_at, finished_at,
       shown_at, render_seconds, engine_seconds, iif(reason IS NULL, NULL, 'told'),
       iif(reason IS NULL, NULL, json_object('text', reason)), notes, images, deleted_at, removed_at
FROM early_job ORDER BY id;

-- Numbers that were given once, or skipped by a restore, are never given again.
DELETE FROM sqlite_sequence WHERE name = 'job';
UPDATE sqlite_sequence SET name = 'job' WHERE name = 'early_job';

INSERT INTO limits SELECT * FROM early_limits;
INSERT INTO limits_log SELECT * FROM early_limits_log;
INSERT INTO guild SELECT * FROM early_guild;
INSERT INTO note SELECT * FROM early_note;
DROP TABLE early_job;
DROP TABLE early_limits;
DROP TABLE early_limits_log;
DROP TABLE early_guild;
DROP TABLE early_note;
