-- By queue, how many jobs became final after :since, the newest :most of each state, and when the first
-- of those did.
SELECT lane, 'completed', count(*), min(finished_at) FROM
    (SELECT lane, finished_at FROM jobs INDEXED BY jobs_final
     WHERE state = 'completed' AND finished_at > :since ORDER BY finished_at DESC LIMIT :most) AS few
GROUP BY lane
UNION ALL
SELECT lane, 'cancelled', count(*), min(finished_at) FROM
    (SELECT lane, finished_at FROM jobs INDEXED BY jobs_final
     WHERE state = 'cancelled' AND finished_at > :since ORDER BY finished_at DESC LIMIT :most) AS few
GROUP BY lane
UNION ALL
SELECT lane, 'discarded', count(*), min(finished_at) FROM
    (SELECT lane, finished_at FROM jobs INDEXED BY jobs_final
     WHERE state = 'discarded' AND finished_at > :since ORDER BY finished_at DESC LIMIT :most) AS few
GROUP BY lane
