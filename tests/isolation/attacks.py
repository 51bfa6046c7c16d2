"""What Alice might try to reach Bob's rows, how each ends, and what stands in its way.

In the SQL {me} is Alice's id, {bob} Bob's, {date} the date of Bob's briefing, {partition} the partition it is in.
"""

from __future__ import annotations

from dataclasses import dataclass

NO_ROWS = "no rows"
DONE = "done"
NO_SECURITY = "ALTER TABLE pulsex.users DISABLE ROW LEVEL SECURITY"
OTHERS = "SELECT FROM pulsex.users WHERE user_id <> '{me}' AND"
OPEN_FEEDBACK = """
    ALTER POLICY select_own ON pulsex.briefing_feedback USING (true);
    ALTER POLICY insert_own ON pulsex.briefing_feedback WITH CHECK (true);
    ALTER POLICY update_own ON pulsex.briefing_feedback USING (true) WITH CHECK (true)
"""


@dataclass(frozen=True)
class Attack:
    """A statement; how it ends, a SQLSTATE or NO_ROWS; the guard to take away, and how it ends then."""

    name: str
    sql: str
    ends: str
    guard: str
    then: str = DONE

    def __str__(self) -> str:
        return self.name


ATTACKS = [
    Attack(
        "insert as another person",
        """INSERT INTO pulsex.user_topics (user_id, topic_id)
        SELECT '{bob}', topic_id FROM pulsex.topics WHERE slug = 'cities'""",
        "42501",
        "ALTER POLICY insert_own ON pulsex.user_topics WITH CHECK (true)",
    ),
    Attack(
        "put an event in another person's record",
        """INSERT INTO pulsex.engagement_events (user_id, occurred_at, event_id, event_type)
        VALUES ('{bob}', now(), uuidv7(), 'opened')""",
        "42501",
        """GRANT INSERT ON pulsex.engagement_events TO pulsex_app;
        CREATE POLICY insert_own ON pulsex.engagement_events FOR INSERT TO pulsex_app WITH CHECK (true)""",
    ),
    Attack(
        "overwrite another person's rating by upsert",
        """INSERT INTO pulsex.briefing_feedback (user_id, briefing_date, edition, item_id, rating)
        VALUES ('{bob}', '{date}', 'morning', '', 1)
        ON CONFLICT ON CONSTRAINT briefing_feedback_pk DO UPDATE SET rating = excluded.rating""",
        "42501",
        OPEN_FEEDBACK,
    ),
    Attack(
        "ask by upsert whether another person rated",
        """INSERT INTO pulsex.briefing_feedback (user_id, briefing_date, edition, item_id, rating)
        VALUES ('{bob}', '{date}', 'morning', '', 1) ON CONFLICT DO NOTHING""",
        "42501",
        OPEN_FEEDBACK,
        NO_ROWS,
    ),
    Attack(
        "overwrite another person's preferences by merge",
        """MERGE INTO pulsex.user_preferences AS p USING (VALUES ('{bob}'::uuid)) AS v (bob) ON p.user_id = v.bob
        WHEN MATCHED THEN UPDATE SET max_items = 1 RETURNING p.user_id""",
        NO_ROWS,
        "ALTER TABLE pulsex.user_preferences DISABLE ROW LEVEL SECURITY",
    ),
    Attack(
        "move a row to another person",
        "UPDATE pulsex.user_topics SET user_id = '{bob}'",
        "42501",
        """GRANT UPDATE (user_id) ON pulsex.user_topics TO pulsex_app;
        ALTER POLICY update_own ON pulsex.user_topics WITH CHECK (true);
        ALTER POLICY select_own ON pulsex.user_topics USING (true);
        DELETE FROM pulsex.user_topics WHERE user_id = '{bob}'""",
    ),
    Attack(
        "read a changed row's old version",
        "UPDATE pulsex.users SET locale = 'xx' WHERE user_id = '{bob}' RETURNING old.display_name, new.locale",
        NO_ROWS,
        NO_SECURITY,
    ),
    Attack(
        "delete another person's row",
        "DELETE FROM pulsex.briefing_feedback WHERE user_id = '{bob}' RETURNING rating",
        NO_ROWS,
        "ALTER TABLE pulsex.briefing_feedback DISABLE ROW LEVEL SECURITY",
    ),
    Attack(
        "read a partition by name",
        "SELECT FROM {partition} WHERE user_id = '{bob}'",
        "42501",
        "GRANT SELECT ON {partition} TO pulsex_app; ALTER TABLE {partition} DISABLE ROW LEVEL SECURITY",
    ),
    Attack(
        "read a partition by name, though it is granted",
        "SELECT FROM {partition} WHERE user_id = '{bob}'",
        "42501",
        "GRANT SELECT ON {partition} TO pulsex_app",
        NO_ROWS,
    ),
    Attack(
        "write to a partition by name",
        "UPDATE {partition} SET read_at = now() WHERE user_id = '{bob}'",
        "42501",
        "GRANT SELECT, UPDATE ON {partition} TO pulsex_app; ALTER TABLE {partition} DISABLE ROW LEVEL SECURITY",
    ),
    Attack(
        "a sample of the pages",
        "SELECT FROM pulsex.users TABLESAMPLE system (100) WHERE user_id <> '{me}'",
        NO_ROWS,
        NO_SECURITY,
    ),
    Attack(
        "every place on the first page",
        f"{OTHERS} ctid = ANY (ARRAY(SELECT format('(0,%s)', i)::tid FROM generate_series(1, 200) AS i))",
        NO_ROWS,
        NO_SECURITY,
    ),
    Attack(
        "a whole row as JSON",
        "SELECT to_jsonb(u) FROM pulsex.users AS u WHERE to_jsonb(u) ->> 'display_name' = 'Bob'",
        NO_ROWS,
        NO_SECURITY,
    ),
    Attack("a row locked", f"{OTHERS} true FOR UPDATE", NO_ROWS, NO_SECURITY),
    Attack("a cast that fails on the value", f"{OTHERS} display_name::integer = 0", NO_ROWS, NO_SECURITY, "22P02"),
    Attack(
        "a division by zero where the value is right",
        f"{OTHERS} 1 / (display_name <> 'Bob')::integer = 0",
        NO_ROWS,
        NO_SECURITY,
        "22012",
    ),
    Attack(
        "a pattern that is no pattern", f"{OTHERS} display_name ~ (display_name || '[')", NO_ROWS, NO_SECURITY, "2201B"
    ),
    Attack(
        "a cast of a document",
        "SELECT FROM pulsex.briefings WHERE user_id <> '{me}' AND (content #>> '{{sections,0,items}}')::date = now()",
        NO_ROWS,
        "ALTER TABLE pulsex.briefings DISABLE ROW LEVEL SECURITY",
        "22007",
    ),
    Attack(
        "an operator over the search index",
        "SELECT FROM pulsex.briefings WHERE user_id <> '{me}' AND search @@ to_tsquery('simple', 'comet')",
        NO_ROWS,
        "ALTER TABLE pulsex.briefings DISABLE ROW LEVEL SECURITY",
    ),
    Attack(
        "a loop in a DO block",
        """DO $$ BEGIN
            ASSERT NOT EXISTS (SELECT FROM pulsex.users WHERE user_id = '{bob}');
            RAISE 'nothing' USING ERRCODE = 'PT404';
        END $$""",
        "PT404",
        NO_SECURITY,
        "P0004",
    ),
    Attack(
        "a password's hash",
        "SELECT password_hash FROM auth.passwords",
        "42501",
        "GRANT SELECT ON auth.passwords TO pulsex_app; ALTER TABLE auth.passwords DISABLE ROW LEVEL SECURITY",
    ),
    Attack(
        "the signing key",
        "SELECT inner_pad FROM auth.signing_key",
        "42501",
        "GRANT SELECT ON auth.signing_key TO pulsex_app; ALTER TABLE auth.signing_key DISABLE ROW LEVEL SECURITY",
    ),
    Attack(
        "a session made by hand",
        """INSERT INTO auth.sessions (user_id, token_hash, family_id, expires_at)
        VALUES ('{bob}', sha256('mine'), uuidv7(), now() + interval '1 day')""",
        "42501",
        "GRANT INSERT ON auth.sessions TO pulsex_app; ALTER TABLE auth.sessions DISABLE ROW LEVEL SECURITY",
    ),
    Attack(
        "a session from the sign-in service's routine",
        "SELECT auth.start_session('{bob}')",
        "42501",
        "GRANT EXECUTE ON FUNCTION auth.start_session TO pulsex_app",
    ),
    Attack(
        "the hash that the sign-in service checks",
        "SELECT password_hash FROM auth.login_credential('bob@example.com')",
        "42501",
        "GRANT EXECUTE ON FUNCTION auth.login_credential TO pulsex_app",
    ),
    Attack(
        "a person made for the purpose",
        "SELECT auth.register_user('eve@example.com', password_hash, 'Eve') FROM (VALUES ('x')) AS x (password_hash)",
        "42501",
        "GRANT EXECUTE ON FUNCTION auth.register_user TO pulsex_app",
        "23514",
    ),
    Attack(
        "a password reset",
        "SELECT auth.issue_one_time_token('{bob}', 'reset_password')",
        "42501",
        "GRANT EXECUTE ON FUNCTION auth.issue_one_time_token TO pulsex_app",
    ),
]
