-- Version 2: jobs that depend on jobs, tell of themselves, come by the clock, are unique, or stand in limited queues.
-- All of it is for those that use it: a job that does not has NULLs here and is in none of these indexes.

-- How many of its inputs are not final yet: above 0 it is blocked.
ALTER TABLE jobs ADD COLUMN pending INTEGER NOT NULL DEFAULT 0;
-- What is enqueued when it ends (callbacks.py).
ALTER TABLE jobs ADD COLUMN callbacks BLOB;
-- No two jobs hold one key. It is let go, for good, when the job starts or ends.
ALTER TABLE jobs ADD COLUMN unique_key TEXT;
ALTER TABLE jobs ADD COLUMN unique_until TEXT;
CREATE UNIQUE INDEX jobs_unique ON jobs (unique_key) WHERE unique_key IS NOT NULL;
-- What the enqueuer had it carry along (traces), JSON.
ALTER TABLE jobs ADD COLUMN context TEXT;

-- The child takes the parent's output, or waits for its end. Done when that has been counted. A job with
-- callbacks has an edge to itself, done when they are enqueued.
CREATE TABLE edges (
    parent BLOB    NOT NULL,
    child  BLOB    NOT NULL,
    policy TEXT    NOT NULL,
    done   INTEGER NOT NULL DEFAULT 0,
    PRIMARY KEY (parent, child)
) STRICT, WITHOUT ROWID;
CREATE INDEX edges_child ON edges (child);
CREATE INDEX edges_open ON edges (parent, child) WHERE done = 0;

-- What a running job told: progress, log records, values. The newest are kept.
CREATE TABLE notes (
    job_id BLOB    NOT NULL,
    fence  INTEGER NOT NULL,
    number INTEGER NOT NULL,
    kind   TEXT    NOT NULL,
    at     INTEGER NOT NULL,
    body   BLOB    NOT NULL,
    PRIMARY KEY (job_id, fence, number)
) STRICT, WITHOUT ROWID;

-- A limit of the jobs of a queue that run at a time, over all workers. Those that run are counted: a state
-- cannot leak. The index of them says of which queue they are, too, so that nobody else pays for it.
ALTER TABLE queues ADD COLUMN most INTEGER;
-- What the code of a worker said last: what a person sets stands until the code says something else.
ALTER TABLE queues ADD COLUMN declared INTEGER;
DROP INDEX jobs_running;
CREATE INDEX jobs_running ON jobs (worker, lane) WHERE state = 'running';

-- Of these tasks nothing is started. Their jobs are set aside when a claim comes to them: blocked, though
-- they wait for no input.
CREATE TABLE paused_tasks (
    name TEXT    NOT NULL PRIMARY KEY,
    at   INTEGER NOT NULL,
    by   TEXT    NOT NULL,
    why  TEXT    NOT NULL
) STRICT, WITHOUT ROWID;
CREATE INDEX jobs_aside ON jobs (task, priority DESC, due_at, id) WHERE state = 'blocked' AND pending = 0;

-- What is enqueued by the clock (periodic.py). next_at: its next tick; NULL with a look_at: the first after that.
CREATE TABLE periodics (
    name       TEXT    PRIMARY KEY,
    app        TEXT    NOT NULL,
    spec       BLOB    NOT NULL,
    digest     TEXT    NOT NULL,
    timing     TEXT    NOT NULL,
    version    INTEGER NOT NULL DEFAULT 0,
    next_at    INTEGER,
    look_at    INTEGER,
    moved_at   INTEGER NOT NULL,
    last_at    INTEGER,
    last_job   BLOB,
    paused_at  INTEGER,
    paused_by  TEXT,
    paused_why TEXT,
    retired_at INTEGER
) STRICT, WITHOUT ROWID;
CREATE INDEX periodics_look ON periodics (look_at, name) WHERE paused_at IS NULL AND retired_at IS NULL;
-- Which periodics a worker's code declares, JSON: name to digest.
ALTER TABLE workers ADD COLUMN declares TEXT;

-- What a monitor counts without reading the table. A lane is never below '': the term keeps statements that look
-- up a blocked job by its id from being planned through this index.
CREATE INDEX jobs_blocked ON jobs (lane) WHERE state = 'blocked' AND lane >= '';
-- For whoever follows all jobs: what has moved since a moment. Jobs that succeed at once are in neither.
CREATE INDEX attempts_finished ON attempts (finished_at);
CREATE INDEX notes_at ON notes (at);
