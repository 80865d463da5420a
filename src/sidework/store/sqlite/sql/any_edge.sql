-- Whether anything waits for the end of any job: asked by every turn, one seek.
SELECT EXISTS (SELECT 1 FROM edges INDEXED BY edges_open WHERE done = 0)
