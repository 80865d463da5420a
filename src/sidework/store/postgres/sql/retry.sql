-- A final job runs again, by hand: one more attempt is allowed, the expiry is
-- lifted. A suspect stays alone: the runner that its task asked for is not kept (decision 0003).
UPDATE sidework.jobs SET state = 'available', due_at = :now, finished_at = NULL, result = NULL, crashes = 0,
                expires_at = NULL, pending = 0, max_attempts = greatest(max_attempts, attempt + 1),
                fence = fence + 1, note = 'retried by hand'
WHERE id = :id::uuid AND state IN ('completed', 'cancelled', 'discarded')
RETURNING id
