"""Unsubscribing with one click and no session (RFC 8058), honoured for what is queued already."""

import pytest

from tests.notifications.desk import HOUR, NOON

ISSUE = "SELECT pulsex.issue_unsubscribe_token(%s, 'push', 'briefing_ready')"
UNSUBSCRIBE = "SELECT pulsex.unsubscribe(%s)"
NOBODY = "00000000-0000-7000-8000-000000000000"


@pytest.fixture
def token(worker, alice) -> str:
    """What Alice's mail has in its List-Unsubscribe header."""
    return worker.value(ISSUE, alice.user_id)


def test_nobody_needs_to_sign_in(desk, stranger, alice, token):
    """The mail provider posts the token, and that is all; nothing of the kind is sent any more by that channel."""
    assert stranger.value(UNSUBSCRIBE, token) is True
    assert desk.state(desk.enqueue(alice)) == ("cancelled", "unsubscribed")
    assert desk.state(desk.enqueue(alice, "in_app")) == ("pending", None)


def test_the_real_role_needs_no_session(database, worker):
    """The application's own connection, without anybody's session, may call it."""
    stranger = database.actor("nobody", "pulsex_app")
    stranger.results_eq(UNSUBSCRIBE, [(False,)], f"{NOBODY}.{'0' * 64}")


def test_what_is_queued_already_isnt_sent(desk, stranger, alice, token):
    """What waits, and what failed and waits again."""
    waits, failed = desk.enqueue(alice, scheduled_for=NOON + HOUR), desk.enqueue(alice)
    desk.fail(desk.lease())
    stranger.rows(UNSUBSCRIBE, token)
    assert desk.claim(NOON + HOUR) == []
    assert [desk.state(told) for told in (waits, failed)] == [("cancelled", "unsubscribed")] * 2


def test_one_token_is_used_and_no_other(service, stranger, worker, alice, token):
    """What another message was sent with works later as well."""
    other = worker.value(ISSUE, alice.user_id)
    stranger.rows(UNSUBSCRIBE, token)
    unused = "SELECT used_at IS NULL FROM pulsex.unsubscribe_tokens WHERE token_hash = sha256(convert_to(%s, 'UTF8'))"
    service.results_eq(unused, [(True,)], other)


def test_somebody_elses_is_sent(desk, stranger, alice, bob, token):
    """Alice's link is hers."""
    told = desk.enqueue(bob)
    stranger.rows(UNSUBSCRIBE, token)
    assert desk.lease().notification_id == told


def test_it_works_once(stranger, alice, token):
    """Providers click twice: that is true too. But an old link undoes no later subscription."""
    stranger.results_eq(UNSUBSCRIBE, [(True,)], token)
    alice.rows("DELETE FROM pulsex.unsubscriptions WHERE user_id = %s AND channel = 'push'", alice.user_id)
    stranger.results_eq(UNSUBSCRIBE, [(True,)], token)
    alice.is_empty("SELECT FROM pulsex.unsubscriptions WHERE channel = 'push'")


def test_who_has_unsubscribed_already_is_still_unsubscribed(stranger, alice, worker, token):
    """By two links."""
    stranger.rows(UNSUBSCRIBE, token)
    stranger.results_eq(UNSUBSCRIBE, [(True,)], worker.value(ISSUE, alice.user_id))
    alice.results_eq("SELECT kind FROM pulsex.unsubscriptions WHERE channel = 'push'", [("briefing_ready",)])


def test_an_expired_token_does_nothing(stranger, service, alice, token):
    """To the instant: it expires now."""
    service.rows("UPDATE pulsex.unsubscribe_tokens SET created_at = '2000-01-01', expires_at = now()")
    stranger.results_eq(UNSUBSCRIBE, [(False,)], token)
    alice.is_empty("SELECT FROM pulsex.unsubscriptions WHERE channel = 'push'")


@pytest.mark.parametrize(
    "garbage",
    [
        None, "", "x", "é" * 101, "0" * 101, f"{NOBODY}.{'0' * 64}", f"{NOBODY}.{'0' * 63}", "{user_id}.", "{user_id}",
        "{token} ", " {token}", "{user_id}.{secret}0", "{user_id}:{secret}", "{nobody}.{secret}", "{user_id}.{SECRET}",
    ],
    ids=repr,
)  # fmt: skip
def test_garbage_does_nothing(stranger, alice, token, garbage):
    """Not a token, not this token, not quite: false, whatever it is, and never an error."""
    user_id, _, secret = token.partition(".")
    parts = {"user_id": user_id, "token": token, "secret": secret, "SECRET": "g" + secret[1:], "nobody": NOBODY}
    stranger.results_eq(UNSUBSCRIBE, [(False,)], garbage and garbage.format(**parts))
    alice.is_empty("SELECT FROM pulsex.unsubscriptions WHERE channel = 'push'")


def test_the_token_isnt_stored(service, alice, token):
    """Only its hash is; it names the person and has 256 bits."""
    assert token.partition(".")[0] == str(alice.user_id)
    assert len(token) == 101
    service.results_eq(
        "SELECT channel, kind FROM pulsex.unsubscribe_tokens WHERE token_hash = sha256(convert_to(%s, 'UTF8'))",
        [("push", "briefing_ready")], token,
    )  # fmt: skip


@pytest.mark.parametrize(
    ("change", "sqlstate", "about"),
    [
        ({"user_id": NOBODY}, "PT404", None), ({"user_id": None}, "PT404", None),
        ({"channel": "sms"}, "23514", "unsubscribe_tokens_channel_check"), ({"channel": None}, "23502", None),
        ({"kind": "A Kind"}, "23514", "unsubscribe_tokens_kind_check"), ({"kind": None}, "23502", None),
        ({"lifetime": "0.9 seconds"}, "PT422", None), ({"lifetime": "367 days"}, "PT422", None),
        ({"lifetime": None}, "PT422", None),
    ],
    ids=str,
)  # fmt: skip
def test_what_is_refused(worker, alice, change, sqlstate, about):
    """A token for nobody, for nothing, or for ever."""
    values = {"user_id": alice.user_id, "channel": "push", "kind": "tip", "lifetime": "1 day"} | change
    sql = "SELECT pulsex.issue_unsubscribe_token(%s, %s, %s, %s::interval)"
    worker.throws_ok(sql, sqlstate, *values.values(), constraint=about)


def test_expired_tokens_are_purged(worker, service, alice, bob):
    """So many at a time, null for all; none that still works."""
    lasting = worker.value(ISSUE, bob.user_id)
    for _ in range(3):
        worker.rows(ISSUE, alice.user_id)
    service.rows(
        "UPDATE pulsex.unsubscribe_tokens SET created_at = '2000-01-01', expires_at = '2000-01-02' WHERE user_id = %s",
        alice.user_id,
    )  # with the one that the cast gave her
    worker.results_eq("SELECT ops.purge_unsubscribe_tokens(1)", [(1,)])
    worker.results_eq("SELECT ops.purge_unsubscribe_tokens(NULL)", [(3,)])
    worker.results_eq("SELECT ops.purge_unsubscribe_tokens()", [(0,)])
    worker_sees = service.value("SELECT count(*) FROM pulsex.unsubscribe_tokens WHERE user_id = %s", bob.user_id)
    assert (worker_sees, bob.user_id) == (2, type(bob.user_id)(lasting[:36]))


def test_what_expired_is_told_apart_by_whose_it_is(alice, bob, worker, service):
    """Were Bob's hash the same as that of Alice's token, which has expired, his would stay."""
    service.rows(
        """INSERT INTO pulsex.unsubscribe_tokens (user_id, token_hash, channel, kind, created_at, expires_at)
        SELECT user_id, sha256('one of both'), 'email', 'digest', now() - interval '9 days', now() + valid
        FROM (VALUES (%s::uuid, interval '-1 day'), (%s, '1 day')) AS token (user_id, valid)""",
        alice.user_id, bob.user_id,
    )  # fmt: skip
    worker.results_eq("SELECT ops.purge_unsubscribe_tokens()", [(1,)])
    service.results_eq(
        "SELECT user_id FROM pulsex.unsubscribe_tokens WHERE token_hash = sha256('one of both')", [(bob.user_id,)]
    )
