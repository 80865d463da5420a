-- Beside insert.sql in one statement (errand.py): the waits and callbacks of those jobs that it stored.
-- Unlike on SQLite, where a transaction is made for both on whatever connection.
INSERT INTO sidework.edges (parent, child, policy, done)
SELECT new.parent, new.child, new.policy, new.done
FROM changed JOIN unnest(:parent::uuid[], :child::uuid[], :policy::text[], :done::boolean[])
     AS new (parent, child, policy, done) ON new.child = changed.id
RETURNING child
