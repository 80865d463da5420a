-- How the inputs of jobs ended (no state: it is gone). Of each job all their results, or none when they are more than :most bytes.
-- Unlike on SQLite for many at once, as for complete.sql.
SELECT asked.child, edge.parent, parent.state,
       CASE WHEN parent.state = 'completed' AND taken.size <= :most::bigint
            THEN coalesce(parent.result, '\x016e756c6c') END,
       CASE WHEN parent.state = 'discarded'
            THEN (SELECT failure FROM sidework.attempts WHERE job_id = parent.id ORDER BY fence DESC LIMIT 1) END,
       edge.policy
FROM unnest(:child::uuid[]) AS asked (child),
LATERAL (SELECT coalesce(sum(length(result)), 0) AS size
         FROM sidework.edges AS edge JOIN sidework.jobs AS job ON job.id = edge.parent
         WHERE edge.child = asked.child AND edge.parent <> edge.child) AS taken,
sidework.edges AS edge LEFT JOIN sidework.jobs AS parent ON parent.id = edge.parent
WHERE edge.child = asked.child AND edge.parent <> edge.child
