-- A job waits for the end of another, or, as its own parent, has callbacks.
INSERT INTO edges (parent, child, policy, done) VALUES (?, ?, ?, ?) ON CONFLICT (parent, child) DO NOTHING
