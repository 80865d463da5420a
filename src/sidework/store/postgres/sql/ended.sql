-- By queue, how many jobs became final after :since, the newest :most of each state, and when the first
-- of those did.
SELECT lane, 'completed', count(*), min(finished_at) FROM
    (SELECT lane, finished_at FROM sidework.jobs
     WHERE state = 'completed' AND finished_at > :since::bigint ORDER BY finished_at DESC LIMIT :most::bigint) AS few
GROUP BY lane
UNION ALL
SELECT lane, 'cancelled', count(*), min(finished_at) FROM
    (SELECT lane, finished_at FROM sidework.jobs
     WHERE state = 'cancelled' AND finished_at > :since::bigint ORDER BY finished_at DESC LIMIT :most::bigint) AS few
GROUP BY lane
UNION ALL
SELECT lane, 'discarded', count(*), min(finished_at) FROM
    (SELECT lane, finished_at FROM sidework.jobs
     WHERE state = 'discarded' AND finished_at > :since::bigint ORDER BY finished_at DESC LIMIT :most::bigint) AS few
GROUP BY lane
