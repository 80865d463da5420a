-- Let no tick of a periodic fire.
UPDATE periodics SET paused_at = :now, paused_by = :by, paused_why = :why, version = version + 1
WHERE name = :name
RETURNING name
