-- For whom a job waits, or waited.
SELECT parent FROM edges INDEXED BY edges_child WHERE child = ? AND parent <> child
