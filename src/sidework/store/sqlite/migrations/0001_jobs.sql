-- The tables of version 1. Times are milliseconds since the epoch; ids are UUIDv7 as 16 bytes, so
-- that new rows are appended to the one b-tree that holds both key and row (WITHOUT ROWID).
-- A lane is a queue, or later a queue and a key joined by '/'.
-- No CHECK lists the words of state, runner or on_crash: every statement that writes one names it, and
-- such a list is built anew at each UPDATE (5 of the 22 us that a job's claim and record take).

CREATE TABLE jobs (
    id               BLOB    NOT NULL PRIMARY KEY,
    task             TEXT    NOT NULL,
    lane             TEXT    NOT NULL,
    state            TEXT    NOT NULL,
    runner           TEXT    NOT NULL,
    priority         INTEGER NOT NULL,
    due_at           INTEGER NOT NULL,
    attempt          INTEGER NOT NULL DEFAULT 0 CHECK (attempt >= 0 AND attempt <= max_attempts),
    max_attempts     INTEGER NOT NULL,
    fence            INTEGER NOT NULL DEFAULT 0,
    crashes          INTEGER NOT NULL DEFAULT 0,
    cancel_requested INTEGER NOT NULL DEFAULT 0,
    worker           INTEGER,
    inserted_at      INTEGER NOT NULL,
    started_at       INTEGER,
    finished_at      INTEGER,
    expires_at       INTEGER,
    timeout          INTEGER,
    backoff          INTEGER,
    on_crash         TEXT    NOT NULL,
    note             TEXT,
    tags             TEXT    NOT NULL DEFAULT '[]',
    args             BLOB    NOT NULL,
    result           BLOB
) STRICT, WITHOUT ROWID;

-- A claim reads one (lane, runner) in the order of promise I6, and nothing that it may not take.
CREATE INDEX jobs_available ON jobs (lane, runner, priority DESC, due_at, id) WHERE state = 'available';
-- Promotion reads what is due; claims never scan future jobs.
CREATE INDEX jobs_due ON jobs (due_at) WHERE state IN ('scheduled', 'retryable');
CREATE INDEX jobs_running ON jobs (worker) WHERE state = 'running';
CREATE INDEX jobs_cancelling ON jobs (worker) WHERE state = 'running' AND cancel_requested = 1;
CREATE INDEX jobs_expiring ON jobs (expires_at)
    WHERE expires_at IS NOT NULL AND state IN ('blocked', 'scheduled', 'available', 'retryable');
CREATE INDEX jobs_final ON jobs (state, finished_at) WHERE finished_at IS NOT NULL;

-- Attempts that failed, crashed or were cancelled; a completed one is told by the job's own row.
CREATE TABLE attempts (
    job_id      BLOB    NOT NULL,
    fence       INTEGER NOT NULL,
    attempt     INTEGER NOT NULL,
    outcome     TEXT    NOT NULL,
    worker      INTEGER,
    started_at  INTEGER,
    finished_at INTEGER NOT NULL,
    failure     BLOB,
    PRIMARY KEY (job_id, fence)
) STRICT, WITHOUT ROWID;

CREATE TABLE queues (
    name       TEXT NOT NULL PRIMARY KEY,
    paused_at  INTEGER,
    paused_by  TEXT,
    paused_why TEXT
) STRICT, WITHOUT ROWID;

-- A worker's number is drawn (register.sql), so that a running row can name its worker.
CREATE TABLE workers (
    id         INTEGER PRIMARY KEY,
    host       TEXT    NOT NULL,
    pid        INTEGER NOT NULL,
    life       TEXT,
    started_at INTEGER NOT NULL,
    queues     TEXT    NOT NULL
) STRICT;

-- A chore is a row; whoever moves next_at on has the turn.
CREATE TABLE chores (
    name    TEXT NOT NULL PRIMARY KEY,
    next_at INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
