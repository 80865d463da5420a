-- A worker says that it lives; no row when it was taken for dead. The time is for people to read: what
-- counts is that the number moves.
UPDATE sidework.workers SET beat = beat + 1, beat_at = :now WHERE id = :worker::bigint RETURNING beat
