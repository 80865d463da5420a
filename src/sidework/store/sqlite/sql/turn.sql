-- The turn at a chore goes to whoever moves its time on. One further ahead than the pause itself was set
-- before the clock was put back.
INSERT INTO chores (name, next_at) VALUES (:name, :next_at)
ON CONFLICT (name) DO UPDATE SET next_at = excluded.next_at WHERE next_at <= :now OR next_at > excluded.next_at
RETURNING name
