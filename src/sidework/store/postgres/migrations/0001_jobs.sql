-- The tables of version 1: those of the SQLite engine, column for column. What differs, and why:
--   ids are uuid, times bigint milliseconds by the server's clock, texts COLLATE "C" (both engines sort
--   by bytes); workers have a lease and a beat instead of a life file; tags stay text as JSON, since jsonb
--   refuses some texts that the other engine keeps.

CREATE TABLE sidework.jobs (
    id               uuid    NOT NULL PRIMARY KEY,
    task             text    NOT NULL COLLATE "C",
    lane             text    NOT NULL COLLATE "C",
    state            text    NOT NULL COLLATE "C",
    runner           text    NOT NULL COLLATE "C",
    priority         integer NOT NULL,
    due_at           bigint  NOT NULL,
    attempt          integer NOT NULL DEFAULT 0 CHECK (attempt >= 0 AND attempt <= max_attempts),
    max_attempts     integer NOT NULL,
    fence            bigint  NOT NULL DEFAULT 0,
    crashes          integer NOT NULL DEFAULT 0,
    cancel_requested boolean NOT NULL DEFAULT false,
    worker           bigint,
    inserted_at      bigint  NOT NULL,
    started_at       bigint,
    finished_at      bigint,
    expires_at       bigint,
    timeout          bigint,
    backoff          bigint,
    on_crash         text    NOT NULL COLLATE "C",
    note             text,
    tags             text    NOT NULL DEFAULT '[]',
    args             bytea   NOT NULL,
    result           bytea
);

-- A claim reads one (lane, runner) in the order of promise I6, and nothing that it may not take.
CREATE INDEX jobs_available ON sidework.jobs (lane, runner, priority DESC, due_at, id) WHERE state = 'available';
-- Promotion reads what is due; claims never scan future jobs.
CREATE INDEX jobs_due ON sidework.jobs (due_at) WHERE state IN ('scheduled', 'retryable');
CREATE INDEX jobs_running ON sidework.jobs (worker) WHERE state = 'running';
CREATE INDEX jobs_cancelling ON sidework.jobs (worker) WHERE state = 'running' AND cancel_requested;
CREATE INDEX jobs_expiring ON sidework.jobs (expires_at)
    WHERE expires_at IS NOT NULL AND state IN ('blocked', 'scheduled', 'available', 'retryable');
CREATE INDEX jobs_final ON sidework.jobs (state, finished_at) WHERE finished_at IS NOT NULL;

-- Attempts that failed, crashed or were cancelled; a completed one is told by the job's own row.
CREATE TABLE sidework.attempts (
    job_id      uuid    NOT NULL,
    fence       bigint  NOT NULL,
    attempt     integer NOT NULL,
    outcome     text    NOT NULL,
    worker      bigint,
    started_at  bigint,
    finished_at bigint  NOT NULL,
    failure     bytea,
    PRIMARY KEY (job_id, fence)
);

CREATE TABLE sidework.queues (
    name       text NOT NULL PRIMARY KEY COLLATE "C",
    paused_at  bigint,
    paused_by  text,
    paused_why text
);

-- A worker's number is drawn (register.sql), so that a running row can name its worker. It lives as long
-- as its beat grows: whoever saw it stand still for a lease (milliseconds) takes it for dead.
CREATE TABLE sidework.workers (
    id         bigint PRIMARY KEY,
    host       text   NOT NULL,
    pid        integer NOT NULL,
    lease      bigint NOT NULL,
    beat       bigint NOT NULL DEFAULT 0,
    beat_at    bigint NOT NULL,
    started_at bigint NOT NULL,
    queues     text   NOT NULL
);

-- A chore is a row; whoever moves next_at on has the turn.
CREATE TABLE sidework.chores (
    name    text   NOT NULL PRIMARY KEY COLLATE "C",
    next_at bigint NOT NULL
);

-- What tells this schema from any other, also from one of the same name: a statement on a caller's own
-- connection compares it. One row; a copy of the database has it too.
CREATE TABLE sidework.place (
    one  boolean NOT NULL PRIMARY KEY DEFAULT true CHECK (one),
    mark uuid    NOT NULL DEFAULT gen_random_uuid()
);
INSERT INTO sidework.place DEFAULT VALUES;
