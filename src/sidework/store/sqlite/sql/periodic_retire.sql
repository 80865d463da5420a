-- A periodic that nobody declares any more. Its place in time stays, in case it was only missed.
UPDATE periodics SET retired_at = :now, version = version + 1 WHERE name = :name
