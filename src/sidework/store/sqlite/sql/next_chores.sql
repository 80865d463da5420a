-- When each chore is to be done next.
SELECT name, next_at FROM chores
