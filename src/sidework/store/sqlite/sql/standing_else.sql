-- By queue, how many jobs are in the other states that are counted, :most of each read at most.
SELECT lane, state, count(*) FROM
    (SELECT lane, state FROM jobs INDEXED BY jobs_due
     WHERE state IN ('scheduled', 'retryable') LIMIT :most) AS few
GROUP BY lane, state
UNION ALL
SELECT lane, 'running', count(*) FROM
    (SELECT lane FROM jobs INDEXED BY jobs_running WHERE state = 'running' LIMIT :most) AS few
GROUP BY lane
UNION ALL
SELECT lane, 'discarded', count(*) FROM
    (SELECT lane FROM jobs INDEXED BY jobs_final
     WHERE state = 'discarded' AND finished_at IS NOT NULL ORDER BY finished_at DESC LIMIT :most) AS few
GROUP BY lane
UNION ALL
SELECT lane, 'blocked', count(*) FROM
    (SELECT lane FROM jobs INDEXED BY jobs_blocked WHERE state = 'blocked' AND lane >= '' LIMIT :most) AS few
GROUP BY lane
