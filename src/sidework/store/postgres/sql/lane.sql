-- Which of these lanes have available jobs of which of these runners.
-- Unlike on SQLite, where a statement costs no round trip, all at once.
SELECT lane, runner FROM unnest(:lanes::text[]) AS served (lane), unnest(:runners::text[]) AS asked (runner)
WHERE (SELECT true FROM sidework.jobs AS job
       WHERE job.state = 'available' AND job.lane = served.lane AND job.runner = asked.runner LIMIT 1)
