-- Who may call what, and look at which view, on one page. Everything is taken away first, so that a grant which leaves
-- this page leaves the database.

DO $$
DECLARE
    v_grant record;
BEGIN
    FOR v_grant IN
        SELECT
            p.oid::regprocedure AS routine,
            p.proowner::regrole AS owner,
            CASE WHEN a.grantee = 0 THEN 'PUBLIC' ELSE a.grantee::regrole::text END AS grantee
        FROM pg_catalog.pg_proc AS p, aclexplode(coalesce(p.proacl, acldefault('f', p.proowner))) AS a
        WHERE p.pronamespace::regnamespace::text IN ('auth', 'pulsex', 'ops', 'audit', 'gdpr') AND a.grantee <> p.proowner
    LOOP
        EXECUTE format('SET LOCAL ROLE %s', v_grant.owner);
        EXECUTE format('REVOKE ALL ON ROUTINE %s FROM %s', v_grant.routine, v_grant.grantee);
    END LOOP;
    SET LOCAL ROLE pulsex_owner;
    FOR v_grant IN
        SELECT c.oid::regclass AS view, CASE WHEN a.grantee = 0 THEN 'PUBLIC' ELSE a.grantee::regrole::text END AS grantee
        FROM pg_catalog.pg_class AS c, aclexplode(c.relacl) AS a
        WHERE c.relkind = 'v' AND a.grantee <> c.relowner
            AND c.relnamespace::regnamespace::text IN ('auth', 'pulsex', 'ops', 'audit', 'gdpr')
    LOOP
        EXECUTE format('REVOKE ALL ON %s FROM %s', v_grant.view, v_grant.grantee);
    END LOOP;
END
$$;

SET LOCAL ROLE pulsex_service;
GRANT EXECUTE ON FUNCTION
auth.register_user, auth.find_user, auth.login_credential, auth.record_login, auth.start_session,
auth.issue_one_time_token, auth.redeem_one_time_token, auth.reset_password TO pulsex_auth;
GRANT EXECUTE ON FUNCTION
auth.current_user_id, auth.use_session, auth.touch_session, auth.rotate_session, auth.end_session,
auth.end_all_sessions, pulsex.search_briefings, pulsex.find_briefings, pulsex.record_events, pulsex.register_device,
pulsex.forget_device, pulsex.unsubscribe, pulsex.require_page, pulsex.day_starts_at TO pulsex_app;
GRANT EXECUTE ON FUNCTION
pulsex.due_briefings, pulsex.generation_context, pulsex.publish_briefing, pulsex.mark_briefing_delivered,
ops.parked_briefings, ops.refresh_time_zones, auth.purge_expired, ops.claim_maintenance, ops.record_maintenance,
pulsex.topic_affinity, ops.roll_up_engagement, ops.roll_up_marked_engagement, pulsex.enqueue_notification,
pulsex.enqueue_notifications,
pulsex.cancel_notification, pulsex.claim_notifications, pulsex.complete_notification, pulsex.complete_notifications,
pulsex.fail_notification, pulsex.await_notifications,
pulsex.retire_device, pulsex.issue_unsubscribe_token, ops.limit_channel, ops.count_queue, ops.dead_notifications,
ops.revive_notification, ops.purge_unsubscribe_tokens,
ops.overdue_requests, gdpr.apply_retention, gdpr.warn_inactive, gdpr.erase_inactive TO pulsex_worker;
GRANT EXECUTE ON FUNCTION
pulsex.count_briefing_engagement, gdpr.count_engagement_by_day, gdpr.count_ratings_by_month,
gdpr.count_followers_by_topic TO pulsex_analyst;
GRANT EXECUTE ON FUNCTION
gdpr.record_consent, gdpr.open_request, gdpr.visible_people, gdpr.consent_history TO pulsex_app, pulsex_privacy;
GRANT EXECUTE ON FUNCTION
gdpr.find_user, gdpr.extend_request, gdpr.complete_request, gdpr.list_open_requests, gdpr.restrict_user,
gdpr.lift_restriction, gdpr.change_setting, gdpr.inactive_accounts, gdpr.count_user_data TO pulsex_privacy;
GRANT EXECUTE ON FUNCTION
ops.delete_expired_feedback TO pulsex_owner, pulsex_worker;
GRANT EXECUTE ON FUNCTION
audit.seal, audit.verify TO pulsex_worker, pulsex_privacy;
GRANT EXECUTE ON FUNCTION
audit.oldest_unsealed TO pulsex_worker;
GRANT EXECUTE ON FUNCTION
audit.trail TO pulsex_privacy;
-- The owner makes triggers and partitions, and is called by the worker to expire them.
GRANT EXECUTE ON FUNCTION
audit.record_change, audit.refuse_change, audit.release_month TO pulsex_owner;
GRANT EXECUTE ON FUNCTION
gdpr.refuse_restricted TO pulsex_owner;
GRANT EXECUTE ON FUNCTION
gdpr.export_user_data, gdpr.export_user_data_rows TO pulsex_privacy, pulsex_app;
GRANT EXECUTE ON FUNCTION
gdpr.find_personal_data, gdpr.erase_user, gdpr.place_hold, gdpr.release_hold, gdpr.export_erasure_ledger,
gdpr.replay_erasures TO pulsex_privacy;
GRANT EXECUTE ON FUNCTION
gdpr.resume_erasures TO pulsex_privacy, pulsex_worker;
GRANT EXECUTE ON FUNCTION
gdpr.relations_to_scrub, gdpr.unclassified_columns TO pulsex_privacy, pulsex_owner;
-- Who rewrites the files says that they are.
GRANT EXECUTE ON FUNCTION
gdpr.record_scrub TO pulsex_owner;

SET LOCAL ROLE pulsex_owner;
GRANT EXECUTE ON FUNCTION
pulsex.update_preferences, pulsex.follow_topics, pulsex.todays_briefing, pulsex.briefing_history,
pulsex.mark_briefing_read, pulsex.record_feedback, pulsex.engagement_summary, pulsex.unread_notifications,
pulsex.mark_notifications_read TO pulsex_app;
GRANT EXECUTE ON FUNCTION
ops.ensure_partitions, ops.partition_months TO pulsex_service, pulsex_worker;
GRANT EXECUTE ON FUNCTION
ops.hold_partitions TO pulsex_service;
GRANT EXECUTE ON FUNCTION
ops.make_next_partition, ops.detach_next_partition, ops.drop_next_partition, ops.expire_partitions,
ops.partition_faults, ops.replication TO pulsex_worker;
GRANT EXECUTE ON PROCEDURE
ops.run_maintenance TO pulsex_worker;
GRANT SELECT ON ops.partitions TO pulsex_service, pulsex_worker;
GRANT SELECT ON ops.partition_health, ops.health, ops.queue_health TO pulsex_worker;
GRANT SELECT ON pulsex.briefing_engagement TO pulsex_analyst;
GRANT EXECUTE ON FUNCTION
pulsex.is_briefing_content TO pulsex_service, pulsex_app;
GRANT EXECUTE ON FUNCTION
gdpr.retention_of TO pulsex_service;
GRANT SELECT ON gdpr.personal_tables, gdpr.personal_relations TO pulsex_service;
GRANT SELECT ON gdpr.current_consents TO pulsex_app, pulsex_privacy;
GRANT SELECT ON gdpr.open_requests, gdpr.user_data_summary, gdpr.records_of_processing TO pulsex_privacy;
GRANT SELECT ON gdpr.engagement_by_day, gdpr.ratings_by_month, gdpr.followers_by_topic TO pulsex_analyst;
