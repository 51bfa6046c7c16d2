-- squawk says constraint-missing-not-valid
-- migrate:up
SET LOCAL lock_timeout = '2s';
SET LOCAL statement_timeout = '60s';
ALTER TABLE pulsex.users ADD CONSTRAINT users_x_check CHECK (locale <> 'x');
