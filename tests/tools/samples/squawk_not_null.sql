-- squawk says adding-not-nullable-field
-- migrate:up
SET LOCAL lock_timeout = '2s';
SET LOCAL statement_timeout = '60s';
ALTER TABLE pulsex.users ALTER COLUMN locale SET NOT NULL;
