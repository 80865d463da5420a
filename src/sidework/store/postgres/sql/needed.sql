-- Who still needs the output of a job.
SELECT child.id FROM sidework.edges AS edge JOIN sidework.jobs AS child ON child.id = edge.child
WHERE edge.parent = :id::uuid AND edge.child <> edge.parent AND child.finished_at IS NULL LIMIT 1
