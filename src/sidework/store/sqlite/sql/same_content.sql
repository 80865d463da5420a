-- Whether the job that has this id is the one that was handed over again.
SELECT task = :task AND lane = :lane AND args = :args FROM jobs WHERE id = :id
