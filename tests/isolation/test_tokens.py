"""Tokens that aren't: refused with PT401, and without a hint, or by the protocol before anybody looks at them."""

import pytest

from tests.harness import Database

USE = "SELECT auth.use_session(%s)"
TOKENLESS = {
    "null": lambda alice, bob: None,
    "empty": lambda alice, bob: "",
    "a word": lambda alice, bob: "token",
    "the id alone": lambda alice, bob: alice[:36],
    "the id and a dot": lambda alice, bob: alice[:37],
    "the secret alone": lambda alice, bob: alice[37:],
    "cut short by one": lambda alice, bob: alice[:-1],
    "longer by one": lambda alice, bob: alice + "0",
    "a space after": lambda alice, bob: alice + " ",
    "a space for the last digit": lambda alice, bob: alice[:-1] + " ",
    "upper case": lambda alice, bob: alice.upper(),
    "another separator": lambda alice, bob: alice.replace(".", ":"),
    "no secret": lambda alice, bob: alice[:37] + "0" * 64,
    "another's secret": lambda alice, bob: alice[:37] + bob[37:],
    "one's own secret after another's id": lambda alice, bob: bob[:36] + alice[36:],
    "nobody's id": lambda alice, bob: "0" * 8 + alice[8:],
    "no id, of the right length": lambda alice, bob: "z" * 36 + alice[36:],
    "letters that aren't ASCII, of the right length in bytes": lambda alice, bob: "é" * 50 + "x",
    "letters that aren't ASCII, of the right length in characters": lambda alice, bob: alice[:37] + "é" * 64,
    "quotes": lambda alice, bob: alice[:37] + "' OR token_hash IS NOT NULL OR '' = '".ljust(64),
    "a pattern": lambda alice, bob: alice[:37] + "%" * 64,
    "a megabyte": lambda alice, bob: alice * 10_400,
}
ROUTINES = ["auth.use_session", "auth.touch_session", "auth.rotate_session", "auth.end_session"]


@pytest.mark.parametrize("routine", ROUTINES)
@pytest.mark.parametrize("make", TOKENLESS.values(), ids=TOKENLESS)
def test_what_is_no_token_is_refused(make, routine, stranger, database: Database):
    """Each routine that takes a token refuses it, and leaves nobody."""
    token = make(database.cast["alice"].token, database.cast["bob"].token)
    diag = stranger.throws_ok(f"SELECT {routine}(%s)", "PT401", token)
    assert (diag.message_detail, diag.message_hint) == (None, None)
    stranger.results_eq("SELECT auth.current_user_id()", [(None,)])


@pytest.mark.parametrize("raw", [b"\xff" * 101, b"\xc3" + b"0" * 100, b"\xed\xa0\x80" + b"0" * 98, b"0" * 100 + b"\0"])
def test_bytes_that_are_no_text_do_not_arrive(raw, stranger):
    """Bytes that aren't UTF-8, half a letter, a surrogate, a NUL: refused before the function is called."""
    stranger.rows("SELECT")
    result = stranger.connection.pgconn.exec_params(b"SELECT auth.use_session($1)", [raw], [25], [1])
    assert result.error_field(ord("C")) == b"22021"
    stranger.end()


# How a good token goes bad.
SPOILT = {
    "expired": "created_at = now() - interval '2 days', expires_at = now()",
    "revoked": "revoked_at = now()",
    "rotated longer ago than its grace": "revoked_at = now() - interval '1 microsecond'",
    "forgotten": "token_hash = sha256('another')",
}


@pytest.mark.parametrize("change", SPOILT.values(), ids=SPOILT)
def test_a_token_that_was_good_is_refused(change, service, database: Database):
    """Once it has ended, in whichever way, the token that worked a moment ago is refused."""
    alice = database.cast["alice"]
    service.results_eq(USE, [(alice.user_id,)], alice.token)
    service.rows(f"UPDATE auth.sessions SET {change} WHERE user_id = %s", alice.user_id)
    service.throws_ok(USE, "PT401", alice.token)


def test_the_sign_in_service_uses_no_session(sign_in, database: Database):
    """Who starts sessions can't act in them."""
    sign_in.throws_ok(USE, "42501", database.cast["alice"].token)
