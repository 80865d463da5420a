-- A job is to be deleted: until then nobody ends it, follows its end, or stores what waits for it.
-- Unlike on SQLite, where one transaction writes at a time.
SELECT id FROM sidework.jobs WHERE id = :id::uuid FOR UPDATE
