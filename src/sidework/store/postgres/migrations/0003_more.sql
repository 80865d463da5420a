-- Version 3: jobs that depend on jobs, tell of themselves, come by the clock, are unique, or stand in limited queues.
-- All of it is for those that use it: a job that does not has NULLs here and is in none of these indexes.
-- A column with a constant default needs no rewrite; for each index the table is read once.

-- How many of its inputs are not final yet: above 0 it is blocked.
ALTER TABLE sidework.jobs ADD COLUMN pending integer NOT NULL DEFAULT 0;
-- What is enqueued when it ends (callbacks.py).
ALTER TABLE sidework.jobs ADD COLUMN callbacks bytea;
-- No two jobs hold one key. It is let go, for good, when the job starts or ends.
ALTER TABLE sidework.jobs ADD COLUMN unique_key text COLLATE "C";
ALTER TABLE sidework.jobs ADD COLUMN unique_until text COLLATE "C";
CREATE UNIQUE INDEX jobs_unique ON sidework.jobs (unique_key) WHERE unique_key IS NOT NULL;
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

-- A limit of the jobs of a queue that run at a time, over all workers. Those that run are counted: a state
-- cannot leak. The index of them says of which queue they are, too, so that nobody else pays for it.
ALTER TABLE sidework.queues ADD COLUMN most integer;
-- What the code of a worker said last: what a person sets stands until the code says something else.
ALTER TABLE sidework.queues ADD COLUMN declared integer;
DROP INDEX sidework.jobs_running;
CREATE INDEX jobs_running ON sidework.jobs (worker, lane) WHERE state = 'running';

-- Of these tasks nothing is started. Their jobs are set aside when a claim comes to them: blocked, though
-- they wait for no input.
CREATE TABLE sidework.paused_tasks (
    name text   NOT NULL PRIMARY KEY COLLATE "C",
    at   bigint NOT NULL,
    by   text   NOT NULL,
    why  text   NOT NULL
);
CREATE INDEX jobs_aside ON sidework.jobs (task, priority DESC, due_at, id) WHERE state = 'blocked' AND pending = 0;

-- What is enqueued by the clock (periodic.py). next_at: its next tick; NULL with a look_at: the first after that.
CREATE TABLE sidework.periodics (
    name       text    PRIMARY KEY COLLATE "C",
    app        text    NOT NULL COLLATE "C",
    spec       bytea   NOT NULL,
    digest     text    NOT NULL COLLATE "C",
    timing     text    NOT NULL COLLATE "C",
    version    bigint  NOT NULL DEFAULT 0,
    next_at    bigint,
    look_at    bigint,
    moved_at   bigint  NOT NULL,
    last_at    bigint,
    last_job   uuid,
    paused_at  bigint,
    paused_by  text,
    paused_why text,
    retired_at bigint
);
CREATE INDEX periodics_look ON sidework.periodics (look_at, name) WHERE paused_at IS NULL AND retired_at IS NULL;
-- Which periodics a worker's code declares, JSON: name to digest.
ALTER TABLE sidework.workers ADD COLUMN declares text;

-- What a monitor counts without reading the table. A lane is never below '': the term keeps statements that look
-- up a blocked job by its id from being planned through this index.
CREATE INDEX jobs_blocked ON sidework.jobs (lane) WHERE state = 'blocked' AND lane >= '';
-- For whoever follows all jobs: what has moved since a moment. Jobs that succeed at once are in neither.
CREATE INDEX attempts_finished ON sidework.attempts (finished_at);
CREATE INDEX notes_at ON sidework.notes (at);
