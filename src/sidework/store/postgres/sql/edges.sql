-- Whom jobs wait for, and who waits for them.
-- Unlike on SQLite many at once, as for complete.sql.
SELECT edge.parent, edge.child, edge.policy, edge.done
FROM unnest(:id::uuid[]) AS asked (id) JOIN sidework.edges AS edge ON edge.parent = asked.id
UNION ALL
SELECT edge.parent, edge.child, edge.policy, edge.done
FROM unnest(:id::uuid[]) AS asked (id) JOIN sidework.edges AS edge ON edge.child = asked.id
