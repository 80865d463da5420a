-- A claim takes a limited lane in its hands: whoever else has it leaves the lane out for now. What runs of it is
-- counted by a statement of its own afterwards (running.sql), which sees all that was claimed before.
-- Unlike on SQLite, where one claim is made at a time.
SELECT most FROM sidework.queues
WHERE name = :lane AND paused_at IS NULL AND most IS NOT NULL FOR NO KEY UPDATE SKIP LOCKED
