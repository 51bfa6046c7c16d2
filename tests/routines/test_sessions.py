"""Sessions and the signed context: db/routines/sessions.sql, and auth.current_user_id()."""

from __future__ import annotations

from datetime import timedelta

import pytest

NOBODY = "00000000-0000-0000-0000-000000000000"
START = "SELECT auth.start_session(%s)"
USE = "SELECT auth.use_session(%s)"
TOUCH = "SELECT auth.touch_session(%s)"
ROTATE = "SELECT auth.rotate_session(%s)"
END = "SELECT auth.end_session(%s)"
END_ALL = "SELECT auth.end_all_sessions(%s)"
WHO = "SELECT auth.current_user_id()"
SESSION = "FROM auth.sessions WHERE token_hash = sha256(convert_to(%s, 'UTF8'))"

EXPIRE = "UPDATE auth.sessions SET created_at = now() - interval '2 days', expires_at = now()"
END_GRACE = "UPDATE auth.sessions SET revoked_at = now() WHERE revoked_at IS NOT NULL"

# What is no token: with Alice's id in front wherever there is one, and as long as a token where it matters.
MALFORMED = {
    "null": None,
    "empty": "",
    "id alone": "{user_id}",
    "unknown": "{user_id}." + "0" * 64,
    "somebody else's": NOBODY + "." + "0" * 64,
    "no id": "x" * 36 + "." + "0" * 64,
    "too long": "{token}0",
    "upper case": "{TOKEN}",
    "a megabyte": "{token}" + "0" * 2**20,
    "101 octets of others": "é" * 50 + "x",
    "101 characters of others": "é" * 101,
    "injection": "' OR true --",
}


@pytest.fixture(params=MALFORMED)
def no_token(request, published) -> str | None:
    """Something that is no session's token."""
    text = MALFORMED[request.param]
    return text and text.format(user_id=published.user_id, token=published.token, TOKEN=published.token.upper())


# Keys -----------------------------------------------------------------------------------------------------------------


def test_random_bytes_are_32_and_never_the_same(service):
    """random_bytes returns 32 octets, others each time."""
    service.results_eq(
        "SELECT count(DISTINCT b), min(octet_length(b)), max(octet_length(b)) FROM "
        "(SELECT auth.random_bytes() FROM generate_series(1, 100)) AS r (b)",
        [(100, 32, 32)],
    )


def test_a_new_key_keeps_the_one_before_it(service):
    """rotate_signing_key makes both pads new and moves the old ones to previous."""
    pads = service.rows("SELECT inner_pad, outer_pad FROM auth.signing_key")
    service.lives_ok("SELECT auth.rotate_signing_key()")
    service.results_eq("SELECT previous_inner_pad, previous_outer_pad FROM auth.signing_key", pads)
    service.is_empty("SELECT FROM auth.signing_key WHERE inner_pad = %s OR outer_pad = %s", *pads[0])


def test_a_key_is_padded_as_hmac_wants_it(service):
    """Both pads are the same 32-octet key XOR ipad and opad, and past it the bare pad (RFC 2104)."""
    service.lives_ok("SELECT auth.rotate_signing_key()")
    [(inner, outer)] = service.rows("SELECT inner_pad, outer_pad FROM auth.signing_key")
    key = bytes(octet ^ 0x36 for octet in inner)
    assert key == bytes(octet ^ 0x5C for octet in outer)
    assert key[32:] == bytes(32)
    assert bytes(8) not in key[:32]


def test_the_first_key_is_its_own_predecessor(service):
    """Where there is no key yet, rotate_signing_key makes one."""
    service.rows("DELETE FROM auth.signing_key")
    service.lives_ok("SELECT auth.rotate_signing_key()")
    service.results_eq(
        "SELECT inner_pad = previous_inner_pad, outer_pad = previous_outer_pad FROM auth.signing_key", [(True, True)]
    )


@pytest.mark.commits
@pytest.mark.parametrize(("rotations", "known"), [(1, True), (2, False)])
def test_a_transaction_under_way_survives_one_rotation(stranger, dba, published, rotations, known):
    """A context signed before the key changed holds for one rotation; after two its bearer is nobody."""
    with stranger.connection.transaction():
        stranger.lives_ok(USE, published.token)
        stranger.results_eq(WHO, [(published.user_id,)])
        for _ in range(rotations):
            dba.rows("SELECT auth.rotate_signing_key()")
        stranger.results_eq(WHO, [(published.user_id if known else None,)])


@pytest.mark.commits
def test_a_session_outlives_every_rotation(alice, dba):
    """Tokens aren't signed: the next transaction's context is signed with the new key."""
    for _ in range(2):
        dba.rows("SELECT auth.rotate_signing_key()")
    alice.results_eq(WHO, [(alice.user_id,)])


# Who is asking --------------------------------------------------------------------------------------------------------


def test_without_a_session_one_is_nobody(stranger):
    """current_user_id is null where no session was proved."""
    stranger.results_eq(WHO, [(None,)])


def test_in_a_session_one_is_its_person(alice):
    """current_user_id is who the session belongs to."""
    alice.results_eq(WHO, [(alice.user_id,)])


@pytest.mark.parametrize(
    "context",
    ["", "{user_id}", "{user_id}." + "0" * 64, "é" * 50 + "x", "x" * 101, "{user_id}." + "é" * 32, "x" * 2**20],
    ids=["empty", "id", "forged", "101 octets", "101 letters", "é for a signature", "a megabyte"],
)
def test_a_forged_context_is_nobodys(stranger, published, context):
    """Whatever is written into pulsex.context by hand, current_user_id is null, and no error."""
    forged = context.format(user_id=published.user_id)
    stranger.rows("SELECT set_config('pulsex.context', %s, true)", forged)
    stranger.results_eq(WHO, [(None,)])


def test_somebody_elses_id_over_ones_own_signature_is_nobodys(alice, bob):
    """The signature covers the id."""
    swap = "SELECT set_config('pulsex.context', %s || substr(current_setting('pulsex.context'), 37), true)"
    alice.lives_ok(swap, str(bob.user_id))
    alice.results_eq(WHO, [(None,)])


@pytest.mark.commits
def test_a_context_is_dead_in_the_next_transaction(stranger, published):
    """A context saved from one transaction and set in the next of the same connection is nobody's."""
    with stranger.connection.transaction():
        stranger.lives_ok(USE, published.token)
        context = stranger.value("SELECT current_setting('pulsex.context')")
    with stranger.connection.transaction():
        stranger.rows("SELECT set_config('pulsex.context', %s, false)", context)
        stranger.results_eq(WHO, [(None,)])


def test_a_context_is_worth_nothing_on_another_connection(alice, stranger):
    """The signature covers the transaction that it was made in."""
    context = alice.value("SELECT current_setting('pulsex.context')")
    stranger.rows("SELECT set_config('pulsex.context', %s, true)", context)
    stranger.results_eq(WHO, [(None,)])


@pytest.mark.commits
def test_a_session_ends_with_its_transaction(stranger, published):
    """The next transaction of the connection is nobody's until it proves its own, and the context itself is gone."""
    stranger.lives_ok(USE, published.token)
    stranger.results_eq("SELECT current_setting('pulsex.context')", [("",)])
    stranger.results_eq(WHO, [(None,)])


# Starting -------------------------------------------------------------------------------------------------------------


def test_a_token_is_the_id_and_64_hex_digits(sign_in, published):
    """start_session returns <user_id>.<64 hex>."""
    user_id, _, secret = sign_in.value(START, published.user_id).partition(".")
    assert user_id == str(published.user_id)
    assert len(bytes.fromhex(secret)) == 32


@pytest.mark.commits
def test_a_session_is_stored_without_its_token(sign_in, dba, published):
    """The table has SHA-256 of the token, thirty days of life, and where it came from."""
    statement = "SELECT auth.start_session(%s, p_ip => '192.0.2.1', p_user_agent => 'Firefox')"
    token = sign_in.value(statement, published.user_id)
    dba.results_eq(
        f"SELECT user_id, expires_at - created_at, host(ip_address), user_agent, revoked_at {SESSION}",
        [(published.user_id, timedelta(days=30), "192.0.2.1", "Firefox", None)],
        token,
    )


@pytest.mark.commits
def test_a_long_user_agent_is_cut(sign_in, dba, published):
    """Of p_user_agent 400 characters are kept."""
    token = sign_in.value("SELECT auth.start_session(%s, p_user_agent => %s)", published.user_id, "é" * 500)
    dba.results_eq(f"SELECT user_agent {SESSION}", [("é" * 400,)], token)


@pytest.mark.parametrize("lifetime", ["1 second", "1 year", "12 months", "365 days"])
def test_a_session_lives_a_second_to_a_year(sign_in, published, lifetime):
    """Both bounds are allowed."""
    sign_in.lives_ok("SELECT auth.start_session(%s, %s)", published.user_id, lifetime)


@pytest.mark.parametrize("lifetime", [None, "0 seconds", "-1 day", "0.999999 seconds", "1 mon -31 days", "367 days"])
def test_a_session_lives_no_shorter_and_no_longer(sign_in, published, lifetime):
    """A lifetime past a bound raises PT422."""
    sign_in.throws_ok("SELECT auth.start_session(%s, %s)", "PT422", published.user_id, lifetime)


@pytest.mark.parametrize("user_id", [NOBODY, None])
def test_nobody_gets_a_session(sign_in, user_id):
    """An id that nobody has raises PT404."""
    sign_in.throws_ok(START, "PT404", user_id)


# Using ----------------------------------------------------------------------------------------------------------------


def test_a_token_proves_its_person(stranger, published):
    """use_session returns the person's id."""
    stranger.results_eq(USE, [(published.user_id,)], published.token)


def test_what_is_no_token_proves_nobody(stranger, no_token):
    """use_session raises PT401 for whatever isn't a token, of whatever length and letters."""
    stranger.throws_ok(USE, "PT401", no_token)


def test_a_refused_token_leaves_nobody(stranger, no_token):
    """After PT401 current_user_id is null."""
    stranger.throws_ok(USE, "PT401", no_token)
    stranger.results_eq(WHO, [(None,)])


@pytest.mark.commits
def test_an_expired_token_is_refused(stranger, dba, published):
    """A session that is over raises PT401, to use, touch, rotate and end it alike."""
    dba.rows(EXPIRE)
    for statement in (USE, TOUCH, ROTATE, END):
        stranger.throws_ok(statement, "PT401", published.token)


@pytest.mark.commits
def test_a_revoked_token_is_refused(stranger, dba, published):
    """A session that was revoked raises PT401."""
    dba.rows("UPDATE auth.sessions SET revoked_at = now()")
    for statement in (USE, TOUCH):
        stranger.throws_ok(statement, "PT401", published.token)


def test_a_token_about_to_be_revoked_still_works(service, published):
    """Until revoked_at has come the token is good."""
    service.rows("UPDATE auth.sessions SET revoked_at = now() + interval '1 microsecond'")
    service.results_eq(USE, [(published.user_id,)], published.token)


@pytest.mark.commits
def test_using_a_session_writes_nothing(stranger, published):
    """use_session works in a transaction that may only read, as on a standby."""
    with stranger.connection.transaction():
        stranger.rows("SET TRANSACTION READ ONLY")
        stranger.results_eq(USE, [(published.user_id,)], published.token)


@pytest.mark.commits
@pytest.mark.parametrize(("minutes", "touched"), [(4, False), (6, True)])
def test_touching_remembers_at_most_every_five_minutes(stranger, dba, published, minutes, touched):
    """touch_session updates last_used_at when that is over five minutes old, and leaves a younger one alone."""
    dba.rows("UPDATE auth.sessions SET last_used_at = now() - %s", timedelta(minutes=minutes))
    [(before,)] = dba.rows(f"SELECT last_used_at {SESSION}", published.token)
    stranger.lives_ok(TOUCH, published.token)
    dba.results_eq(f"SELECT last_used_at > %s {SESSION}", [(touched,)], before, published.token)


def test_touching_is_of_this_session_alone(service, published):
    """Another session of the same person stays as it was."""
    other = service.value(START, published.user_id)
    service.rows("UPDATE auth.sessions SET last_used_at = now() - interval '6 minutes'")
    service.rows(TOUCH, published.token)
    service.results_eq(f"SELECT last_used_at < now() {SESSION}", [(True,)], other)


def test_touching_proves_the_person(stranger, published):
    """touch_session does what use_session does."""
    stranger.lives_ok(TOUCH, published.token)
    stranger.results_eq(WHO, [(published.user_id,)])


@pytest.mark.parametrize("statement", [TOUCH, ROTATE, END], ids=["touch", "rotate", "end"])
def test_what_is_no_token_does_nothing(stranger, statement, no_token):
    """touch_session, rotate_session and end_session raise PT401 for what isn't a token."""
    stranger.throws_ok(statement, "PT401", no_token)


# Rotating -------------------------------------------------------------------------------------------------------------


def test_after_a_rotation_both_tokens_work(stranger, published):
    """rotate_session returns a new token, and the old one works on for now."""
    new = stranger.value(ROTATE, published.token)
    assert new != published.token
    for token in (new, published.token):
        stranger.results_eq(USE, [(published.user_id,)], token)


@pytest.mark.commits
def test_the_old_token_has_thirty_seconds(stranger, dba, published):
    """The old session is revoked thirty seconds after the new one was made."""
    new = stranger.value(ROTATE, published.token)
    [(made,)] = dba.rows(f"SELECT created_at {SESSION}", new)
    dba.results_eq(f"SELECT revoked_at {SESSION}", [(made + timedelta(seconds=30),)], published.token)


def test_two_tabs_that_rotate_at_once_both_win(stranger, published):
    """A second rotation within the grace gives a token of its own, and all work."""
    tokens = {published.token, *(stranger.value(ROTATE, published.token) for _ in range(2))}
    assert len(tokens) == 3
    for token in tokens:
        stranger.lives_ok(USE, token)


@pytest.mark.commits
def test_a_second_rotation_does_not_prolong_the_grace(stranger, dba, published):
    """The thirty seconds count from the first rotation."""
    stranger.rows(ROTATE, published.token)
    revoked_at = dba.rows(f"SELECT revoked_at {SESSION}", published.token)
    stranger.rows(ROTATE, published.token)
    dba.results_eq(f"SELECT revoked_at {SESSION}", revoked_at, published.token)


@pytest.mark.commits
def test_a_new_token_is_of_the_same_sign_in(sign_in, stranger, dba, published):
    """Family, lifetime, address and user agent are those of the old one."""
    statement = "SELECT auth.start_session(%s, '2 hours', '192.0.2.1', 'Firefox')"
    token = sign_in.value(statement, published.user_id)
    same = f"SELECT family_id, expires_at - created_at, ip_address, user_agent {SESSION}"
    dba.results_eq(same, dba.rows(same, token), stranger.value(ROTATE, token))


@pytest.mark.commits
def test_after_the_grace_the_old_token_is_refused(stranger, dba, published):
    """The old token stops, the new one goes on."""
    new = stranger.value(ROTATE, published.token)
    dba.rows(END_GRACE)
    stranger.throws_ok(USE, "PT401", published.token)
    stranger.lives_ok(USE, new)


@pytest.mark.commits
def test_reuse_after_the_grace_revokes_the_family(stranger, dba, published):
    """Rotating a token that was rotated long ago gives null and stops the token that replaced it."""
    new = stranger.value(ROTATE, published.token)
    dba.rows(END_GRACE)
    stranger.results_eq(ROTATE, [(None,)], published.token)
    stranger.throws_ok(USE, "PT401", new)


@pytest.mark.commits
def test_reuse_revokes_no_other_sign_in(sign_in, stranger, dba, published):
    """The person's other sign-ins live on."""
    other = sign_in.value(START, published.user_id)
    stranger.rows(ROTATE, published.token)
    dba.rows(END_GRACE)
    stranger.results_eq(ROTATE, [(None,)], published.token)
    stranger.lives_ok(USE, other)


def test_an_ended_session_is_not_rotated(stranger, published):
    """After signing out rotate_session gives null."""
    stranger.rows(END, published.token)
    stranger.results_eq(ROTATE, [(None,)], published.token)


# Ending ---------------------------------------------------------------------------------------------------------------


def test_an_ended_session_is_refused(stranger, published):
    """end_session stops the token at once."""
    stranger.lives_ok(END, published.token)
    stranger.throws_ok(USE, "PT401", published.token)


@pytest.mark.parametrize("which", ["old", "new"])
def test_ending_ends_what_was_rotated(stranger, published, which):
    """Signing out with either token of a rotation stops both, grace or not."""
    tokens = {"old": published.token, "new": stranger.value(ROTATE, published.token)}
    stranger.lives_ok(END, tokens[which])
    for token in tokens.values():
        stranger.throws_ok(USE, "PT401", token)


@pytest.mark.commits
def test_ending_leaves_other_sign_ins(sign_in, stranger, published):
    """Signing out here doesn't sign out there."""
    other = sign_in.value(START, published.user_id)
    stranger.lives_ok(END, published.token)
    stranger.lives_ok(USE, other)


@pytest.mark.commits
def test_ending_again_changes_nothing(stranger, dba, published):
    """A second end_session raises nothing and leaves the first one's time."""
    stranger.lives_ok(END, published.token)
    revoked_at = dba.rows(f"SELECT revoked_at {SESSION}", published.token)
    stranger.lives_ok(END, published.token)
    dba.results_eq(f"SELECT revoked_at {SESSION}", revoked_at, published.token)


@pytest.mark.commits
def test_ending_all_ends_every_sign_in(sign_in, stranger, alice):
    """end_all_sessions stops this token and every other of the person."""
    other = sign_in.value(START, alice.user_id)
    alice.lives_ok(END_ALL, alice.user_id)
    for token in (alice.token, other):
        stranger.throws_ok(USE, "PT401", token)


@pytest.mark.commits
def test_ending_all_ends_nobody_elses(alice, bob):
    """Bob's session goes on when Alice signs out everywhere."""
    alice.lives_ok(END_ALL, alice.user_id)
    bob.results_eq(WHO, [(bob.user_id,)])


def test_only_ones_own_sessions_can_be_ended(alice, bob):
    """Somebody else's id, or none, raises PT403."""
    for user_id in (bob.user_id, NOBODY, None):
        alice.throws_ok(END_ALL, "PT403", user_id)


def test_a_stranger_ends_nobodys_sessions(stranger, published):
    """Without a session every id raises PT403, null too."""
    for user_id in (published.user_id, None):
        stranger.throws_ok(END_ALL, "PT403", user_id)
