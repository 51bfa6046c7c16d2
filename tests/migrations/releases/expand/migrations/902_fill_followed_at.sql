-- Fills what 901 left empty, some rows at a time, each batch a transaction of its own, so that no lock is held for long
-- and nothing is done twice: interrupted, it goes on where it was.

-- migrate:up transaction:false
DO $$
BEGIN
    SET statement_timeout = '60s';
    LOOP
        -- FORCE ROW LEVEL SECURITY blinds the owner: rows are changed as the service. A commit ends SET LOCAL.
        SET LOCAL ROLE pulsex_service;
        SET LOCAL lock_timeout = '2s';
        UPDATE pulsex.user_topics AS t SET followed_at = u.created_at
        FROM pulsex.users AS u
        WHERE u.user_id = t.user_id AND (t.user_id, t.topic_id) IN (
            SELECT s.user_id, s.topic_id FROM pulsex.user_topics AS s WHERE s.followed_at IS NULL LIMIT 100
            FOR UPDATE SKIP LOCKED
        );
        EXIT WHEN NOT FOUND AND NOT EXISTS (SELECT FROM pulsex.user_topics AS s WHERE s.followed_at IS NULL);
        COMMIT;
    END LOOP;
END
$$;

-- migrate:down
SET LOCAL lock_timeout = '2s';
SET LOCAL statement_timeout = '60s';
SET LOCAL ROLE pulsex_service;
UPDATE pulsex.user_topics AS t SET followed_at = NULL
FROM pulsex.users AS u
WHERE u.user_id = t.user_id AND t.followed_at = u.created_at;
SET LOCAL ROLE pulsex_owner;
