-- How the inputs of a job ended (no state: it is gone).
SELECT edge.parent, parent.state,
       CASE parent.state WHEN 'completed' THEN coalesce(parent.result, x'016e756c6c') END,
       CASE WHEN parent.state = 'discarded'
            THEN (SELECT failure FROM attempts WHERE job_id = parent.id ORDER BY fence DESC LIMIT 1) END,
       edge.policy
FROM edges AS edge INDEXED BY edges_child LEFT JOIN jobs AS parent ON parent.id = edge.parent
WHERE edge.child = :child AND edge.parent <> edge.child
