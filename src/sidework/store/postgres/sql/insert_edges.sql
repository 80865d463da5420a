-- Jobs wait for the ends of others, or, as their own parents, have callbacks.
-- Unlike on SQLite many at once, as for complete.sql.
INSERT INTO sidework.edges (parent, child, policy, done)
SELECT parent, child, policy, done
FROM unnest(:parent::uuid[], :child::uuid[], :policy::text[], :done::boolean[]) AS new (parent, child, policy, done)
ON CONFLICT (parent, child) DO NOTHING
RETURNING child
