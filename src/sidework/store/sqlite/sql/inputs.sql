-- How the inputs of a job ended (no state: it is gone). All their results, or none when they are more than :most bytes.
SELECT edge.parent, parent.state,
       CASE WHEN sum(coalesce(length(parent.result), 0)) OVER () <= :most AND parent.state = 'completed'
            THEN coalesce(parent.result, x'016e756c6c') END,
       CASE WHEN parent.state = 'discarded'
            THEN (SELECT failure FROM attempts WHERE job_id = parent.id ORDER BY fence DESC LIMIT 1) END,
       edge.policy
FROM edges AS edge INDEXED BY edges_child LEFT JOIN jobs AS parent ON parent.id = edge.parent
WHERE edge.child = :child AND edge.parent <> edge.child
