-- Reads every row, beside whoever writes them: in a transaction of its own, so that 903's lock isn't held meanwhile.
-- After it SET NOT NULL has nothing left to read.

-- migrate:up
SET LOCAL lock_timeout = '2s';
SET LOCAL statement_timeout = '60s';
ALTER TABLE pulsex.user_topics VALIDATE CONSTRAINT user_topics_followed_at_check;
ALTER TABLE pulsex.user_topics ALTER COLUMN followed_at SET NOT NULL;
-- squawk-ignore ban-drop-constraint  -- NOT NULL says the same from now on
ALTER TABLE pulsex.user_topics DROP CONSTRAINT user_topics_followed_at_check;

-- migrate:down
SET LOCAL lock_timeout = '2s';
SET LOCAL statement_timeout = '60s';
ALTER TABLE pulsex.user_topics
ADD CONSTRAINT user_topics_followed_at_check CHECK (followed_at IS NOT NULL) NOT VALID;
-- squawk-ignore ban-drop-not-null  -- the constraint above says the same
ALTER TABLE pulsex.user_topics ALTER COLUMN followed_at DROP NOT NULL;
