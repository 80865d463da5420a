-- Every job is updated twice and deleted once: the defaults (a fifth of the table) let a table of a
-- million kept jobs gather 200,000 dead rows, which claims step over. Taken over online: a table's
-- storage parameters need no rewrite, and what reads or writes it goes on.
ALTER TABLE sidework.jobs SET (
    autovacuum_vacuum_scale_factor = 0.01, autovacuum_vacuum_threshold = 1000,
    autovacuum_vacuum_insert_scale_factor = 0.1, autovacuum_analyze_scale_factor = 0.02,
    autovacuum_vacuum_cost_delay = 0);
ALTER TABLE sidework.attempts SET (
    autovacuum_vacuum_scale_factor = 0.02, autovacuum_vacuum_threshold = 1000);
-- One row a worker, rewritten at every beat: room in its page keeps each rewrite there (HOT).
ALTER TABLE sidework.workers SET (
    fillfactor = 50, autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 100);
ALTER TABLE sidework.chores SET (
    fillfactor = 50, autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 100);
