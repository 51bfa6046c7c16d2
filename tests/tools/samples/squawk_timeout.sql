-- squawk says require-lock-timeout
-- migrate:up
ALTER TABLE pulsex.users ADD COLUMN note text;
