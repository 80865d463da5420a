-- Whom a job waits for, and who waits for it.
SELECT parent, child, policy, done FROM edges WHERE parent = :id
UNION ALL
SELECT parent, child, policy, done FROM edges INDEXED BY edges_child WHERE child = :id AND parent <> :id
