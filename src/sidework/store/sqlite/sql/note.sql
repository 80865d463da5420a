-- One thing that a running job told. By the fence of its claim and nothing else (promise I3). Said again after
-- a lost answer, it is there already; only the row that says what is not kept (number 0) moves on.
INSERT INTO notes (job_id, fence, number, kind, at, body)
SELECT id, fence, :number, :kind, :at, :body FROM jobs WHERE id = :id AND fence = :fence
ON CONFLICT (job_id, fence, number) DO UPDATE SET at = excluded.at, body = excluded.body
WHERE number = 0 AND CAST(excluded.body AS INTEGER) > CAST(body AS INTEGER)
