-- A job is to be retried: until then nobody ends it or follows its end. What waits for it may still be stored.
-- Unlike on SQLite, where one transaction writes at a time.
SELECT id FROM sidework.jobs WHERE id = :id::uuid FOR NO KEY UPDATE
