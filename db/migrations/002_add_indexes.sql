-- The performance indexes, each with the query it serves. Primary keys already serve every read of one person's rows by
-- date or id, because they start with user_id; what is here is for other orders, and for the workers. Each saves more
-- than it costs, or isn't here: `tox -e bench -- indexes` measures it. So there is none for the words and the content
-- of briefings, which are looked through by the primary key (db/performance_recommendations.md, JSONB), and none for
-- what refers to a time zone, a topic or a purpose of consent: such a row is taken away, if ever, once in years.
--
-- They run on the empty tables that 001 made a moment before, and an index on a partitioned table can't be built
-- concurrently anyway.
-- squawk-ignore-file require-concurrent-index-creation

-- migrate:up
SET LOCAL lock_timeout = '2s';
SET LOCAL statement_timeout = '60s';

CREATE INDEX briefing_feedback_briefing_date_idx ON pulsex.briefing_feedback (briefing_date);
COMMENT ON INDEX pulsex.briefing_feedback_briefing_date_idx IS
'ops.delete_expired_feedback: the oldest, and at once that there is none.';

CREATE INDEX briefing_schedule_due_at_idx ON pulsex.briefing_schedule (greatest(due_at, lease_until), user_id);
COMMENT ON INDEX pulsex.briefing_schedule_due_at_idx IS
'pulsex.due_briefings: due by now, the longest due first. What is leased lies where its lease ends, not in the way.';
CREATE INDEX briefing_schedule_parked_date_idx ON pulsex.briefing_schedule (parked_date, user_id)
WHERE parked_date IS NOT NULL;
COMMENT ON INDEX pulsex.briefing_schedule_parked_date_idx IS 'ops.parked_briefings: what was given up, newest first.';

CREATE INDEX engagement_daily_day_idx ON pulsex.engagement_daily USING brin (day);
COMMENT ON INDEX pulsex.engagement_daily_day_idx IS 'ops.roll_up_engagement: the totals that a day has so far.';

CREATE INDEX notifications_unread_idx ON pulsex.notifications (user_id, created_at DESC)
WHERE read_at IS NULL AND state = 'sent';
COMMENT ON INDEX pulsex.notifications_unread_idx IS 'pulsex.unread_notifications and the unread count: newest first.';

CREATE INDEX notifications_dead_idx ON pulsex.notifications (channel, created_at) WHERE state = 'dead';
COMMENT ON INDEX pulsex.notifications_dead_idx IS 'ops.dead_notifications and ops.queue_health: the dead letters.';

CREATE INDEX notification_queue_claim_idx
ON pulsex.notification_queue (channel, priority, greatest(available_at, lease_until));
COMMENT ON INDEX pulsex.notification_queue_claim_idx IS
'pulsex.claim_notifications: of one channel and priority, the longest due first. What is leased lies where its lease
ends, not in the way, and comes back by itself.';

CREATE INDEX engagement_marks_day_idx ON pulsex.engagement_marks (day, user_id);
COMMENT ON INDEX pulsex.engagement_marks_day_idx IS 'ops.roll_up_marked_engagement: the oldest days first.';
CREATE INDEX unsubscribe_tokens_expires_at_idx ON pulsex.unsubscribe_tokens (expires_at);
COMMENT ON INDEX pulsex.unsubscribe_tokens_expires_at_idx IS 'ops.purge_unsubscribe_tokens: what expired.';

CREATE INDEX identities_user_id_idx ON auth.identities (user_id);
COMMENT ON INDEX auth.identities_user_id_idx IS 'Foreign key identities_user_fk: all identities of a person.';
CREATE INDEX push_token_owners_user_id_device_id_idx ON pulsex.push_token_owners (user_id, device_id);
COMMENT ON INDEX pulsex.push_token_owners_user_id_device_id_idx IS
'Foreign key push_token_owners_device_fk: all tokens of a device.';

-- migrate:down
DROP INDEX pulsex.push_token_owners_user_id_device_id_idx;
DROP INDEX auth.identities_user_id_idx;
DROP INDEX pulsex.unsubscribe_tokens_expires_at_idx;
DROP INDEX pulsex.engagement_marks_day_idx;
DROP INDEX pulsex.notification_queue_claim_idx;
DROP INDEX pulsex.notifications_dead_idx;
DROP INDEX pulsex.notifications_unread_idx;
DROP INDEX pulsex.engagement_daily_day_idx;
DROP INDEX pulsex.briefing_schedule_parked_date_idx;
DROP INDEX pulsex.briefing_schedule_due_at_idx;
DROP INDEX pulsex.briefing_feedback_briefing_date_idx;
