-- Version 3: jobs that depend on jobs, tell of themselves, come by the clock, are unique, or stand in limited queues.
-- All of it is for those that use it: a job that does not has NULLs here and is in none of these indexes.
-- Taken over online: a column with a constant default needs no rewrite.

-- How many of its inputs are not final yet: above 0 it is blocked.
ALTER TABLE sidework.jobs ADD COLUMN pending integer NOT NULL DEFAULT 0;
-- What is enqueued when it ends (callbacks.py).
ALTER TABLE sidework.jobs ADD COLUMN callbacks bytea;
-- No two jobs hold one key. It is let go, for good, when the job starts or ends.
ALTER TABLE sidework.jobs ADD COLUMN unique_key text COLLATE "C";
ALTER TABLE sidework.jobs ADD COLUMN unique_until text COLLATE "C";
-- 1 while it runs in a queue that has a limit.
ALTER TABLE sidework.jobs ADD COLUMN slot smallint;
-- What the enqueuer had it carry along (traces), JSON.
ALTER TABLE sidework.jobs ADD COLUMN context text;

-- The child takes the parent's output, or waits for its end. Done when that has been counted. A job with
-- callbacks has an edge to itself, done when they are enqueued.
CREATE TABLE sidework.edges (
    parent uuid    NOT NULL,
    child  uuid    NOT NULL,
    policy text    NOT NULL COLLATE "C",
    done   boolean NOT NULL DEFAULT false,
    PRIMARY KEY (parent, child)
);
CREATE INDEX edges_child ON sidework.edges (child);
CREATE INDEX edges_open ON sidework.edges (parent, child) WHERE NOT done;
ALTER TABLE sidework.edges SET (
    autovacuum_vacuum_scale_factor = 0.02, autovacuum_vacuum_threshold = 1000, autovacuum_vacuum_cost_delay = 0);

-- What a running job told: progress, log records, values. The newest are kept.
CREATE TABLE sidework.notes (
    job_id uuid    NOT NULL,
    fence  bigint  NOT NULL,
    number integer NOT NULL,
    kind   text    NOT NULL COLLATE "C",
    at     bigint  NOT NULL,
    body   bytea   NOT NULL,
    PRIMARY KEY (job_id, fence, number)
);

-- A limit of the jobs of a queue that run at a time, over all workers.
ALTER TABLE sidework.queues ADD COLUMN most integer;
