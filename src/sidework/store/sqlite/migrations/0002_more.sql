-- Version 2: jobs that depend on jobs, tell of themselves, come by the clock, are unique, or stand in limited queues.
-- All of it is for those that use it: a job that does not has NULLs here and is in none of these indexes.

-- How many of its inputs are not final yet: above 0 it is blocked.
ALTER TABLE jobs ADD COLUMN pending INTEGER NOT NULL DEFAULT 0;
-- What is enqueued when it ends (callbacks.py).
ALTER TABLE jobs ADD COLUMN callbacks BLOB;
-- No two jobs hold one key. It is let go, for good, when the job starts or ends.
ALTER TABLE jobs ADD COLUMN unique_key TEXT;
ALTER TABLE jobs ADD COLUMN unique_until TEXT;
-- 1 while it runs in a queue that has a limit.
ALTER TABLE jobs ADD COLUMN slot INTEGER;
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

-- A limit of the jobs of a queue that run at a time, over all workers.
ALTER TABLE queues ADD COLUMN most INTEGER;
