-- How the inputs of jobs ended. Of each job all their results, or none when they are more than :most bytes.
-- Unlike on SQLite for many at once, as for complete.sql.
SELECT asked.child, parent.id, parent.state,
       CASE WHEN sum(coalesce(length(parent.result), 0)) OVER (PARTITION BY asked.child) <= :most::bigint
                 AND parent.state = 'completed'
            THEN coalesce(parent.result, '\x016e756c6c') END,
       CASE WHEN parent.state = 'discarded'
            THEN (SELECT failure FROM sidework.attempts WHERE job_id = parent.id ORDER BY fence DESC LIMIT 1) END
FROM unnest(:child::uuid[]) AS asked (child)
JOIN sidework.edges AS edge ON edge.child = asked.child AND edge.parent <> edge.child
JOIN sidework.jobs AS parent ON parent.id = edge.parent
