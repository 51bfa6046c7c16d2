-- Since when a person follows a topic. Expand: a new column that nobody must know, so that the release before this one
-- goes on working. A default added after the column is for new rows alone, and rewrites none.

-- migrate:up
SET LOCAL lock_timeout = '2s';
SET LOCAL statement_timeout = '60s';
ALTER TABLE pulsex.user_topics ADD COLUMN followed_at timestamptz;
ALTER TABLE pulsex.user_topics ALTER COLUMN followed_at SET DEFAULT now();
COMMENT ON COLUMN pulsex.user_topics.followed_at IS
'Since when; for what was followed before, since the person joined.';

-- migrate:down
-- loses: since when a topic has been followed
SET LOCAL lock_timeout = '2s';
SET LOCAL statement_timeout = '60s';
DROP FUNCTION IF EXISTS pulsex.follow_weighted_topics(uuid, text[], real);
-- squawk-ignore ban-drop-column  -- the way down takes what the way up made
ALTER TABLE pulsex.user_topics DROP COLUMN followed_at;
