-- Contract: followed_at must be there from now on. NOT VALID asks new rows only, so it takes no time
-- (https://www.postgresql.org/docs/18/sql-altertable.html).

-- migrate:up
SET LOCAL lock_timeout = '2s';
SET LOCAL statement_timeout = '60s';
ALTER TABLE pulsex.user_topics
ADD CONSTRAINT user_topics_followed_at_check CHECK (followed_at IS NOT NULL) NOT VALID;

-- migrate:down
SET LOCAL lock_timeout = '2s';
SET LOCAL statement_timeout = '60s';
-- squawk-ignore ban-drop-constraint  -- the way down takes what the way up made
ALTER TABLE pulsex.user_topics DROP CONSTRAINT user_topics_followed_at_check;
