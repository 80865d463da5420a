-- Whether one lane has available jobs of one runner.
SELECT EXISTS (SELECT 1 FROM sidework.jobs
               WHERE state = 'available' AND lane = :lane AND runner = :runner)
