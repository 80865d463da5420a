-- Who still needs the output of a job.
SELECT child.id FROM edges AS edge JOIN jobs AS child ON child.id = edge.child
WHERE edge.parent = :id AND edge.child <> edge.parent AND child.finished_at IS NULL LIMIT 1
