-- The turn at a chore goes to whoever moves its time on. One further ahead than the pause itself was set
-- before the clock was put back.
INSERT INTO chores AS chore (name, next_at) VALUES (:name, :now + :every)
ON CONFLICT (name) DO UPDATE SET next_at = excluded.next_at WHERE chore.next_at <= :now OR chore.next_at > excluded.next_at
RETURNING name
