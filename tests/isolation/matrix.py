"""The declaration: who may do what to Alice's row of every relation, and what else anybody is granted.

A relation, grant or routine that is missing here fails the build.
"""

from __future__ import annotations

from collections.abc import Sequence

# S SELECT, I INSERT, U UPDATE, D DELETE, T TRUNCATE: allowed; '-' in its place: refused; '.': finds no row of Alice's.
VERBS = {"S": "SELECT", "I": "INSERT", "U": "UPDATE", "D": "DELETE", "T": "TRUNCATE"}
ACTORS = {
    "alice": "pulsex_app",
    "bob": "pulsex_app",
    "stranger": "pulsex_app",
    "sign_in": "pulsex_auth",
    "worker": "pulsex_worker",
    "privacy": "pulsex_privacy",
    "analyst": "pulsex_analyst",
    "service": "pulsex_service",
    "owner": "pulsex_owner",
}
NAMES, *LINES = """
relation                      alice bob   stranger sign_in worker privacy analyst service owner
audit.events                  ----- ----- -----    -----   -----  -----   -----   SI-D-   .-..T
audit.seal_contents           ----- ----- -----    -----   -----  -----   -----   SI-D-   .-..T
audit.seals                   ----- ----- -----    -----   -----  -----   -----   SI---   .-..T
audit.unsealed_events         ----- ----- -----    -----   -----  -----   -----   SI-D-   .-..T
auth.identities               ----- ----- -----    -----   -----  -----   -----   SIUD-   .-..T
auth.login_decoys             ----- ----- -----    -----   -----  -----   -----   SIUD-   .-..T
auth.one_time_tokens          ----- ----- -----    -----   -----  -----   -----   SIUD-   .-..T
auth.passwords                ----- ----- -----    -----   -----  -----   -----   SIUD-   .-..T
auth.sessions                 ----- ----- -----    -----   -----  -----   -----   SIUD-   .-..T
auth.signing_key              ----- ----- -----    -----   -----  -----   -----   SIUD-   .-..T
gdpr.consent_purposes         S---- S---- S----    -----   -----  S----   -----   S----   SIUDT
gdpr.consents                 ----- ----- -----    -----   -----  -----   -----   SI-D-   .-..T
gdpr.current_consents         S---- .---- .----    -----   -----  S----   -----   -----   -----
gdpr.data_map                 ----- ----- -----    -----   -----  S----   -----   S----   SIUDT
gdpr.data_map_tables          ----- ----- -----    -----   -----  S----   -----   S----   SIUDT
gdpr.engagement_by_day        ----- ----- -----    -----   -----  -----   S----   -----   -----
gdpr.erasure_ledger           ----- ----- -----    -----   -----  -----   -----   SI---   .-..T
gdpr.erasures                 ----- ----- -----    -----   -----  -----   -----   SIU--   .-..T
gdpr.followers_by_topic       ----- ----- -----    -----   -----  -----   S----   -----   -----
gdpr.holds                    ----- ----- -----    -----   -----  -----   -----   SIUD-   .-..T
gdpr.inactivity_warnings      ----- ----- -----    -----   -----  -----   -----   SIUD-   .-..T
gdpr.ledger_keys              ----- ----- -----    -----   -----  -----   -----   SI-D-   .-..T
gdpr.open_requests            ----- ----- -----    -----   -----  S----   -----   -----   -----
gdpr.personal_relations       ----- ----- -----    -----   -----  -----   -----   S----   S----
gdpr.personal_tables          ----- ----- -----    -----   -----  -----   -----   S----   S----
gdpr.ratings_by_month         ----- ----- -----    -----   -----  -----   S----   -----   -----
gdpr.records_of_processing    ----- ----- -----    -----   -----  S----   -----   -----   S----
gdpr.requests                 ----- ----- -----    -----   -----  -----   -----   SIUD-   .-..T
gdpr.scrubs                   ----- ----- -----    -----   -----  -----   -----   SIU--   .-..T
gdpr.settings                 ----- ----- -----    -----   -----  S----   -----   S-U--   SIUDT
gdpr.user_data_summary        ----- ----- -----    -----   -----  S----   -----   -----   -----
ops.health                    ----- ----- -----    -----   S----  -----   -----   -----   -----
ops.maintenance_tasks         ----- ----- -----    -----   S----  -----   -----   SIU--   SIUDT
ops.partition_health          ----- ----- -----    -----   S----  -----   -----   -----   S----
ops.partitioned_tables        ----- ----- -----    -----   S----  -----   -----   S----   SIUDT
ops.partitions                ----- ----- -----    -----   S----  -----   -----   S----   S----
ops.queue_health              ----- ----- -----    -----   S----  -----   -----   -----   -----
ops.schema_migrations         ----- ----- -----    -----   -----  -----   -----   S----   SIUDT
pulsex.briefing_engagement    ----- ----- -----    -----   -----  -----   S----   -----   -----
pulsex.briefing_feedback      SIUD- .-..- .-..-    -----   -----  -----   -----   SIUD-   .-..T
pulsex.briefing_schedule      S---- .---- .----    -----   -----  -----   -----   SIUD-   .-..T
pulsex.briefings              S-U-- .-.-- .-.--    -----   -----  -----   -----   SIUD-   .-..T
pulsex.devices                S---- .---- .----    -----   -----  -----   -----   SIUD-   .-..T
pulsex.engagement_daily       S---- .---- .----    -----   -----  -----   -----   SIUD-   .-..T
pulsex.engagement_events      S---- .---- .----    -----   -----  -----   -----   SIUD-   .-..T
pulsex.engagement_marks       S---- .---- .----    -----   -----  -----   -----   SIUD-   .-..T
pulsex.notification_attempts  ----- ----- -----    -----   -----  -----   -----   SIUD-   .-..T
pulsex.notification_channels  ----- ----- -----    -----   -----  -----   -----   SIUD-   SIUDT
pulsex.notification_queue     ----- ----- -----    -----   -----  -----   -----   SIUD-   .-..T
pulsex.notification_waits     ----- ----- -----    -----   -----  -----   -----   SIUD-   SIUDT
pulsex.notifications          S-U-- .-.-- .-.--    -----   -----  -----   -----   SIUD-   .-..T
pulsex.promotional_kinds      ----- ----- -----    -----   -----  -----   -----   SIUD-   SIUDT
pulsex.push_token_owners      ----- ----- -----    -----   -----  -----   -----   SIUD-   .-..T
pulsex.time_zones             S---- S---- S----    -----   -----  -----   -----   SIUD-   SIUDT
pulsex.topics                 S---- S---- S----    -----   -----  -----   -----   SIUD-   SIUDT
pulsex.unsubscribe_tokens     ----- ----- -----    -----   -----  -----   -----   SIUD-   .-..T
pulsex.unsubscriptions        SI-D- .--.- .--.-    -----   -----  -----   -----   SIUD-   .-..T
pulsex.user_preferences       S-U-- .-.-- .-.--    -----   -----  -----   -----   SIUD-   .-..T
pulsex.user_topics            SIUD- .-..- .-..-    -----   -----  -----   -----   SIUD-   .-..T
pulsex.users                  S-U-- .-.-- .-.--    -----   -----  -----   -----   SIUD-   .-..T
(every partition)             ----- ----- -----    -----   -----  -----   -----   S--D-   .-..T
""".strip().splitlines()
MATRIX = {
    relation.strip(): dict(zip(NAMES.split()[1:], line[30:].split(), strict=True))
    for relation, line in ((line[:30], line) for line in LINES)
}
PARTITION = MATRIX.pop("(every partition)")
EMPTY_PARTITION = {actor: cells.replace("S", ".").replace("D", ".") for actor, cells in PARTITION.items()}
PARTITIONED = ("audit.events", "pulsex.briefings", "pulsex.engagement_events")

# Where a verb is granted for some columns only.
COLUMNS = {
    ("pulsex_app", "pulsex.briefing_feedback", "INSERT"): "briefing_date comment edition item_id rating user_id",
    ("pulsex_app", "pulsex.briefing_feedback", "UPDATE"): "comment rating",
    ("pulsex_app", "pulsex.briefings", "UPDATE"): "read_at",
    ("pulsex_app", "pulsex.notifications", "UPDATE"): "read_at",
    ("pulsex_app", "pulsex.unsubscriptions", "INSERT"): "channel kind user_id",
    ("pulsex_app", "pulsex.user_preferences", "UPDATE"): (
        "channels delivery_days delivery_time evening_delivery_time max_items"
        " quiet_hours_end quiet_hours_start settings"
    ),
    ("pulsex_app", "pulsex.user_topics", "UPDATE"): "weight",
    ("pulsex_app", "pulsex.users", "UPDATE"): "display_name locale time_zone",
}

# Who may call what. The owner of a routine always may.
CALLERS = {
    "pulsex_auth": """
        auth.find_user auth.issue_one_time_token auth.login_credential auth.record_login auth.redeem_one_time_token
        auth.register_user auth.reset_password auth.start_session""",
    "pulsex_app": """
        auth.current_user_id auth.end_all_sessions auth.end_session auth.rotate_session auth.touch_session
        auth.use_session gdpr.consent_history gdpr.export_user_data gdpr.export_user_data_rows gdpr.open_request
        gdpr.record_consent gdpr.visible_people
        pulsex.briefing_history pulsex.day_starts_at pulsex.engagement_summary pulsex.find_briefings
        pulsex.follow_topics pulsex.forget_device pulsex.is_briefing_content pulsex.mark_briefing_read
        pulsex.mark_notifications_read pulsex.record_events pulsex.record_feedback pulsex.register_device
        pulsex.require_page pulsex.search_briefings pulsex.todays_briefing pulsex.unread_notifications
        pulsex.unsubscribe pulsex.update_preferences""",
    "pulsex_worker": """
        audit.oldest_unsealed audit.seal audit.verify gdpr.apply_retention gdpr.erase_inactive gdpr.resume_erasures
        gdpr.warn_inactive ops.overdue_requests ops.replication
        auth.purge_expired ops.count_queue ops.dead_notifications ops.delete_expired_feedback
        ops.detach_next_partition ops.drop_next_partition
        ops.ensure_partitions ops.expire_partitions ops.make_next_partition ops.partition_faults ops.partition_months
        ops.claim_maintenance ops.limit_channel ops.parked_briefings ops.purge_unsubscribe_tokens ops.record_maintenance
        ops.refresh_time_zones ops.revive_notification ops.roll_up_engagement ops.roll_up_marked_engagement
        ops.run_maintenance pulsex.await_notifications pulsex.cancel_notification pulsex.claim_notifications
        pulsex.complete_notification pulsex.complete_notifications pulsex.due_briefings
        pulsex.enqueue_notification pulsex.enqueue_notifications pulsex.fail_notification
        pulsex.generation_context pulsex.issue_unsubscribe_token pulsex.mark_briefing_delivered
        pulsex.publish_briefing pulsex.retire_device pulsex.topic_affinity""",
    "pulsex_privacy": """
        audit.seal audit.trail audit.verify
        gdpr.erase_user gdpr.export_erasure_ledger gdpr.export_user_data gdpr.export_user_data_rows
        gdpr.find_personal_data gdpr.place_hold gdpr.relations_to_scrub gdpr.release_hold
        gdpr.replay_erasures gdpr.resume_erasures gdpr.unclassified_columns
        gdpr.change_setting gdpr.complete_request gdpr.consent_history gdpr.count_user_data gdpr.extend_request
        gdpr.find_user gdpr.inactive_accounts gdpr.lift_restriction gdpr.list_open_requests gdpr.open_request
        gdpr.record_consent gdpr.restrict_user gdpr.visible_people""",
    "pulsex_analyst": """
        gdpr.count_engagement_by_day gdpr.count_followers_by_topic gdpr.count_ratings_by_month
        pulsex.count_briefing_engagement""",
    "pulsex_service": """
        gdpr.retention_of ops.ensure_partitions ops.hold_partitions ops.partition_months pulsex.is_briefing_content""",
    "pulsex_owner": """
        audit.record_change audit.refuse_change audit.release_month
        gdpr.record_scrub gdpr.refuse_restricted gdpr.relations_to_scrub gdpr.unclassified_columns
        ops.delete_expired_feedback""",
}

Grants = dict[tuple[str, str, str], str]


def grants(only: Sequence[str] = ()) -> Grants:
    """Return what MATRIX and COLUMNS grant, on the relations named if any are: (role, relation, verb) to its columns,
    * for all of them.
    """
    roles = {actor: role for actor, role in ACTORS.items() if role != "pulsex_owner"}
    return {
        (role, relation, verb): COLUMNS.get((role, relation, verb), "*")
        for relation, cells in MATRIX.items()
        if not only or relation in only
        for actor, role in roles.items()
        for letter, verb in VERBS.items()
        if letter in cells[actor]
    }


def callers() -> set[tuple[str, str]]:
    """Return CALLERS as pairs of role and routine."""
    return {(role, routine) for role, routines in CALLERS.items() for routine in routines.split()}


def difference(have: dict, want: dict) -> dict[object, tuple[object, object]]:
    """Return what differs: key to what it has and what it should have."""
    return {key: (have.get(key), want.get(key)) for key in sorted({*have, *want}) if have.get(key) != want.get(key)}
