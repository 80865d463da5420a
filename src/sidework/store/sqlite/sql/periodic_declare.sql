-- A periodic as a worker declares it. Unless it keeps its next tick, that is the first one from now on.
INSERT INTO periodics AS stood (name, app, spec, digest, timing, look_at, moved_at)
VALUES (:name, :app, :spec, :digest, :timing, :now, :now)
ON CONFLICT (name) DO UPDATE SET
    app = excluded.app, spec = excluded.spec, digest = excluded.digest, timing = excluded.timing,
    next_at = CASE WHEN :keeps THEN stood.next_at END,
    look_at = CASE WHEN :keeps THEN stood.look_at ELSE excluded.look_at END,
    retired_at = NULL, moved_at = excluded.moved_at, version = stood.version + 1
