-- Beside calls.sql: callbacks that cannot be read are not enqueued after all. Their jobs are locked by it.
-- Unlike on SQLite, which reads them before it marks them.
UPDATE sidework.edges AS edge SET done = false
FROM unnest(:id::uuid[]) AS asked (id) WHERE edge.parent = asked.id AND edge.child = asked.id
