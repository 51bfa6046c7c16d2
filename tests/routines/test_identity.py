"""Registration, the password check, one-time tokens: db/routines/identity.sql."""

from __future__ import annotations

from datetime import timedelta

import pytest

from tests.actors import Actor
from tests.cast import PASSWORD_HASH

NOBODY = "00000000-0000-0000-0000-000000000000"
NOBODYS_EMAIL = "nobody@example.com"
OTHER_HASH = PASSWORD_HASH.replace("bm90", "bmV3")

REGISTER = "SELECT auth.register_user(%s, %s, 'Zoë')"
CREDENTIAL = "SELECT * FROM auth.login_credential(%s)"
RECORD = "SELECT auth.record_login(%s, %s)"
ISSUE = "SELECT auth.issue_one_time_token(%s, %s)"
REDEEM = "SELECT auth.redeem_one_time_token(%s, %s, %s)"
RESET = "SELECT auth.reset_password(%s, %s, %s)"
USE = "SELECT auth.use_session(%s)"


def fail(sign_in: Actor, dba: Actor, user_id: object, times: int = 12) -> None:
    """Record failures, each when the lock of the one before is over; twelve lock the login for half an hour."""
    for _ in range(times):
        unlock(dba)
        unlock(dba, "auth.login_decoys")
        sign_in.rows(RECORD, user_id, False)


def unlock(dba: Actor, table: str = "auth.passwords") -> None:
    """Let the time pass for which the table's logins are locked."""
    dba.rows(f"UPDATE {table} SET locked_until = now() - interval '1 second'")


# Registration ---------------------------------------------------------------------------------------------------------


@pytest.mark.commits
def test_registering_makes_the_user(sign_in, dba):
    """register_user stores name, zone and language, and returns the id."""
    user_id = sign_in.value("SELECT auth.register_user('zoe@b', %s, 'Zoë', 'Asia/Tokyo', 'ja-JP')", PASSWORD_HASH)
    users = "SELECT display_name, time_zone, locale, status FROM pulsex.users WHERE user_id = %s"
    dba.results_eq(users, [("Zoë", "Asia/Tokyo", "ja-JP", "active")], user_id)


@pytest.mark.commits
def test_registering_makes_an_unverified_identity(sign_in, dba):
    """The e-mail is stored trimmed, in NFC and lower case, and not verified."""
    user_id = sign_in.value(REGISTER, "  Zoe\u0308@Example.COM ", PASSWORD_HASH)
    identities = "SELECT provider, subject, verified_at FROM auth.identities WHERE user_id = %s"
    dba.results_eq(identities, [("email", "zo\u00eb@example.com", None)], user_id)


@pytest.mark.commits
def test_registering_stores_the_password(sign_in, dba):
    """The hash is stored as it came, with no failures and no lock."""
    user_id = sign_in.value(REGISTER, "zoe@b", PASSWORD_HASH)
    passwords = "SELECT password_hash, failed_attempts, locked_until FROM auth.passwords WHERE user_id = %s"
    dba.results_eq(passwords, [(PASSWORD_HASH, 0, None)], user_id)


@pytest.mark.commits
def test_registering_gives_default_preferences(sign_in, dba):
    """A new person has one row of preferences, all defaults."""
    user_id = sign_in.value(REGISTER, "zoe@b", PASSWORD_HASH)
    preferences = "SELECT delivery_time::text, max_items, channels FROM pulsex.user_preferences WHERE user_id = %s"
    dba.results_eq(preferences, [("07:00:00", 12, ["push", "in_app"])], user_id)


def test_without_zone_and_language_a_person_is_in_utc_and_english(service):
    """The defaults of p_time_zone and p_locale are UTC and en."""
    user_id = service.value(REGISTER, "zoe@b", PASSWORD_HASH)
    service.results_eq("SELECT time_zone, locale FROM pulsex.users WHERE user_id = %s", [("UTC", "en")], user_id)


@pytest.mark.parametrize(
    "spelling",
    ["zo\u00eb@example.com", "ZO\u00cb@Example.com", " zo\u00eb@example.com  ", "zoe\u0308@example.com"],
    ids=["same", "other case", "spaces", "NFD"],
)
def test_a_taken_email_is_a_conflict(sign_in, spelling):
    """Registering an address again raises PT409, however it is spelt."""
    sign_in.lives_ok(REGISTER, "zo\u00eb@example.com", PASSWORD_HASH)
    sign_in.throws_ok(REGISTER, "PT409", spelling, PASSWORD_HASH)


BAD_REGISTRATIONS = {
    "identities_email_check": ("no-at-sign", PASSWORD_HASH, "Zoë", "UTC", "en"),
    "passwords_password_hash_check": ("zoe@b", "swordfish", "Zoë", "UTC", "en"),
    "users_display_name_check": ("zoe@b", PASSWORD_HASH, "", "UTC", "en"),
    "users_locale_check": ("zoe@b", PASSWORD_HASH, "Zoë", "UTC", "English"),
    "users_time_zone_fk": ("zoe@b", PASSWORD_HASH, "Zoë", "EST5EDT,M3.2.0,M11.1.0", "en"),
}


@pytest.mark.parametrize("constraint", BAD_REGISTRATIONS)
def test_a_bad_registration_names_the_constraint(sign_in, constraint):
    """An invalid e-mail, hash, name or language raises 23514, an unknown zone 23503."""
    sqlstate = "23503" if constraint.endswith("_fk") else "23514"
    statement = "SELECT auth.register_user(%s, %s, %s, %s, %s)"
    sign_in.throws_ok(statement, sqlstate, *BAD_REGISTRATIONS[constraint], constraint=constraint)


@pytest.mark.commits
@pytest.mark.parametrize("email", ["alice@example.com", "zoe@b"], ids=["taken e-mail", "bad hash"])
def test_registering_is_all_or_nothing(sign_in, dba, email):
    """A registration that fails at any step leaves neither user nor identity."""
    count = "SELECT (SELECT count(*) FROM pulsex.users), (SELECT count(*) FROM auth.identities)"
    before = dba.rows(count)
    sign_in.throws_ok(REGISTER, "PT409" if email.startswith("alice") else "23514", email, "swordfish")
    dba.results_eq(count, before)


@pytest.mark.parametrize("email", ["alice@example.com", " ALICE@example.com "], ids=["as stored", "other spelling"])
def test_a_person_is_found_by_email(sign_in, published, email):
    """find_user returns whose address it is, however it is spelt."""
    sign_in.results_eq("SELECT auth.find_user(%s)", [(published.user_id,)], email)


def test_what_another_provider_calls_a_person_is_no_email(service, database, published):
    """find_user looks among e-mail addresses alone: here another provider's subject spells like Alice's."""
    subject = "INSERT INTO auth.identities (provider, subject, user_id) VALUES ('company', %s, %s)"
    service.rows(subject, published.email, database.cast["bob"].user_id)
    service.results_eq("SELECT auth.find_user(%s)", [(published.user_id,)], published.email)


@pytest.mark.parametrize("email", [NOBODYS_EMAIL, "", None])
def test_an_unknown_email_is_nobodys(sign_in, email):
    """find_user returns null for an address that nobody has."""
    sign_in.results_eq("SELECT auth.find_user(%s)", [(None,)], email)


@pytest.mark.parametrize("email", [" A@B ", "ZOE\u0308@b", "\u212b@b"], ids=["case", "NFD", "angstrom sign"])
def test_normalizing_an_email_twice_changes_nothing_more(service, email):
    """normalize_email is idempotent: what is stored is found under its own spelling."""
    once = service.value("SELECT auth.normalize_email(%s)", email)
    service.results_eq("SELECT auth.normalize_email(%s)", [(once,)], once)


# The password check ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("failures", "seconds"), [(1, 1), (2, 2), (3, 4), (12, 2048), (13, 4096), (14, 4096), (2147483647, 4096)]
)
def test_the_lock_doubles_with_each_failure(service, failures, seconds):
    """lock_delay is a second after the first failure, twice as long after each, 4096 s at most."""
    service.results_eq("SELECT auth.lock_delay(%s::integer)", [(timedelta(seconds=seconds),)], failures)


@pytest.mark.parametrize("at", ["NULL", "now()", "'-infinity'"])
def test_a_lock_that_is_over_refuses_nobody(service, at):
    """refuse_locked passes for no lock and for one in the past."""
    service.lives_ok(f"SELECT auth.refuse_locked({at})")


def test_a_lock_says_how_many_seconds_are_left(service):
    """refuse_locked raises PT423 with the seconds in DETAIL, rounded up to whole ones."""
    diag = service.throws_ok("SELECT auth.refuse_locked(clock_timestamp() + interval '1000.5 seconds')", "PT423")
    assert diag.message_detail.isdecimal()
    assert 900 < int(diag.message_detail) <= 1001


@pytest.mark.parametrize("email", ["alice@example.com", " ALICE@example.com "], ids=["as stored", "other spelling"])
def test_a_known_email_gives_the_credential(sign_in, published, email):
    """login_credential returns the person's id and hash, and no lock."""
    sign_in.results_eq(CREDENTIAL, [(published.user_id, PASSWORD_HASH, None)], email)


@pytest.mark.parametrize("email", [NOBODYS_EMAIL, "", None, "no-at-sign"])
def test_an_unknown_email_gives_one_row_too(sign_in, service, email):
    """login_credential returns one decoy row, with an id that is nobody's."""
    [(user_id, _, locked_until)] = sign_in.rows(CREDENTIAL, email)
    service.is_empty("SELECT * FROM pulsex.users WHERE user_id = %s", user_id)
    assert locked_until is None


def test_a_decoy_is_as_costly_to_check_as_a_real_hash(sign_in):
    """A decoy's hash has the algorithm, the parameters and the length of a real one."""
    [(_, decoy, _)] = sign_in.rows(CREDENTIAL, NOBODYS_EMAIL)
    assert decoy.split("$")[:4] == PASSWORD_HASH.split("$")[:4]
    assert [*map(len, decoy.split("$"))] == [*map(len, PASSWORD_HASH.split("$"))]


@pytest.mark.commits
def test_a_decoy_follows_the_parameters_in_use(sign_in, dba):
    """When the application hashes at another cost, decoys cost as much."""
    dba.rows("UPDATE auth.passwords SET password_hash = replace(password_hash, 'm=65536,t=3,p=4', 'm=19456,t=2,p=1')")
    [(_, decoy, _)] = sign_in.rows(CREDENTIAL, NOBODYS_EMAIL)
    assert decoy.startswith("$argon2id$v=19$m=19456,t=2,p=1$")


def test_a_decoy_could_be_a_stored_hash(sign_in, service):
    """A decoy's hash passes the CHECK of real ones, so it verifies without an error."""
    [(_, decoy, _)] = sign_in.rows(CREDENTIAL, NOBODYS_EMAIL)
    service.lives_ok("UPDATE auth.passwords SET password_hash = %s", decoy)


def test_a_decoy_stays_the_same(sign_in):
    """Asking again, in another spelling, gives the same decoy: one that changed would tell it from a person."""
    sign_in.results_eq(CREDENTIAL, sign_in.rows(CREDENTIAL, NOBODYS_EMAIL), f" {NOBODYS_EMAIL.upper()}")


def test_two_unknown_emails_have_two_decoys(sign_in):
    """Decoys differ by address in id and hash."""
    [one] = sign_in.rows(CREDENTIAL, NOBODYS_EMAIL)
    [two] = sign_in.rows(CREDENTIAL, "no-one@example.com")
    assert one[0] != two[0]
    assert one[1] != two[1]


@pytest.mark.commits
def test_a_person_without_a_password_gives_a_decoy(sign_in, dba, published):
    """Someone who signs in elsewhere looks like nobody here."""
    dba.rows("DELETE FROM auth.passwords WHERE user_id = %s", published.user_id)
    [(user_id, decoy, _)] = sign_in.rows(CREDENTIAL, published.email)
    assert user_id != published.user_id
    assert decoy.startswith("$argon2id$")


@pytest.mark.commits
def test_failures_lock_a_persons_login(sign_in, published, dba):
    """After failures login_credential raises PT423, with the seconds left in DETAIL."""
    fail(sign_in, dba, published.user_id)
    diag = sign_in.throws_ok(CREDENTIAL, "PT423", published.email)
    assert 0 < int(diag.message_detail) <= 2048


@pytest.mark.commits
def test_failures_lock_an_unknown_login_as_well(sign_in, dba):
    """Guessing at an address that nobody has raises PT423 as for a person, and tells nothing."""
    fail(sign_in, dba, sign_in.rows(CREDENTIAL, NOBODYS_EMAIL)[0][0])
    diag = sign_in.throws_ok(CREDENTIAL, "PT423", NOBODYS_EMAIL)
    assert 0 < int(diag.message_detail) <= 2048


@pytest.mark.commits
def test_failures_lock_no_other_login(sign_in, published, dba):
    """Alice's lock is hers alone."""
    fail(sign_in, dba, published.user_id)
    for email in ("bob@example.com", NOBODYS_EMAIL):
        sign_in.lives_ok(CREDENTIAL, email)


@pytest.mark.commits
@pytest.mark.commits
def test_when_the_lock_is_over_the_credential_is_given_again(sign_in, dba, published):
    """A lock in the past refuses nobody, and is returned."""
    fail(sign_in, dba, published.user_id)
    unlock(dba)
    locks = dba.rows("SELECT locked_until FROM auth.passwords WHERE user_id = %s", published.user_id)
    sign_in.results_eq("SELECT locked_until FROM auth.login_credential(%s)", locks, published.email)


@pytest.mark.commits
@pytest.mark.commits
def test_when_the_lock_is_over_the_decoy_is_given_again(sign_in, dba):
    """A decoy's lock ends as a person's does."""
    fail(sign_in, dba, sign_in.rows(CREDENTIAL, NOBODYS_EMAIL)[0][0])
    unlock(dba, "auth.login_decoys")
    locks = dba.rows("SELECT locked_until FROM auth.login_decoys")
    sign_in.results_eq("SELECT locked_until FROM auth.login_credential(%s)", locks, NOBODYS_EMAIL)


NTH_FAILURES = pytest.mark.parametrize(("failures", "seconds"), [(1, 1), (2, 2), (5, 16), (13, 4096), (20, 4096)])


@pytest.mark.commits
@NTH_FAILURES
@pytest.mark.commits
def test_a_failure_locks_a_person_for_longer_than_the_last(sign_in, dba, published, failures, seconds):
    """The nth failure locks from the moment it is recorded, for lock_delay(n)."""
    dba.rows("UPDATE auth.passwords SET failed_attempts = %s", failures - 1)
    before = dba.value("SELECT clock_timestamp()")
    fail(sign_in, dba, published.user_id, times=1)
    lock = "SELECT failed_attempts, locked_until - %s BETWEEN %s AND clock_timestamp() FROM auth.passwords"
    delay = timedelta(seconds=seconds)
    dba.results_eq(f"{lock} WHERE user_id = %s", [(failures, True)], delay, before, published.user_id)


@pytest.mark.commits
@NTH_FAILURES
@pytest.mark.commits
def test_a_failure_locks_a_decoy_just_as_long(sign_in, dba, failures, seconds):
    """The nth failure of nobody locks as the nth of a person does."""
    dba.rows(
        "INSERT INTO auth.login_decoys SELECT %s, n, now() FROM (VALUES (%s)) AS v (n) WHERE n > 0",
        NOBODY,
        failures - 1,
    )
    before = dba.value("SELECT clock_timestamp()")
    fail(sign_in, dba, NOBODY, times=1)
    lock = "SELECT failed_attempts, locked_until - %s BETWEEN %s AND clock_timestamp() FROM auth.login_decoys"
    dba.results_eq(lock, [(failures, True)], timedelta(seconds=seconds), before)


@pytest.mark.commits
@pytest.mark.commits
def test_a_success_forgets_the_failures(sign_in, dba, published):
    """After the lock, a right password sets failures to none and lifts the lock."""
    fail(sign_in, dba, published.user_id)
    unlock(dba)
    sign_in.lives_ok(RECORD, published.user_id, True)
    passwords = "SELECT failed_attempts, locked_until FROM auth.passwords WHERE user_id = %s"
    dba.results_eq(passwords, [(0, None)], published.user_id)


@pytest.mark.commits
def test_a_success_without_failures_writes_nothing(sign_in, dba, published):
    """A right password at the first try leaves the row as it is."""
    row = "SELECT ctid::text, xmin::text FROM auth.passwords WHERE user_id = %s"
    before = dba.rows(row, published.user_id)
    sign_in.lives_ok(RECORD, published.user_id, True)
    dba.results_eq(row, before, published.user_id)


@pytest.mark.commits
def test_a_success_while_locked_is_refused(sign_in, published, dba):
    """Whoever guessed right while another's failure locked the login gets PT423, as if they had been wrong."""
    fail(sign_in, dba, published.user_id)
    diag = sign_in.throws_ok(RECORD, "PT423", published.user_id, True)
    assert 0 < int(diag.message_detail) <= 2048


@pytest.mark.commits
@pytest.mark.parametrize("known", [True, False])
def test_a_failure_while_locked_is_refused_as_well(sign_in, dba, published, known):
    """A wrong guess sent at once with others ends as the right one does, counts for nothing, and so tells nothing."""
    who = published.user_id if known else NOBODY
    fail(sign_in, dba, who, times=3)
    sign_in.throws_ok(RECORD, "PT423", who, False)
    table = "auth.passwords WHERE user_id" if known else "auth.login_decoys WHERE decoy_id"
    dba.results_eq(f"SELECT failed_attempts FROM {table} = %s", [(3,)], who)


@pytest.mark.commits
@pytest.mark.parametrize("known", [True, False])
def test_failures_of_a_day_ago_are_forgotten(sign_in, dba, published, known):
    """After a day a failure is the first again, a person's as a decoy's."""
    who = published.user_id if known else NOBODY
    fail(sign_in, dba, who, times=5)
    table, key = ("auth.passwords", "user_id") if known else ("auth.login_decoys", "decoy_id")
    dba.rows(f"UPDATE {table} SET locked_until = now() - interval '25 hours'")
    sign_in.rows(RECORD, who, False)
    dba.results_eq(f"SELECT failed_attempts FROM {table} WHERE {key} = %s", [(1,)], who)


@pytest.mark.parametrize("before", ["infinity", "tomorrow", None])
def test_only_what_is_past_is_purged(worker, before):
    """A time to come would purge what is alive."""
    worker.throws_ok("SELECT auth.purge_expired(%s)", "PT422", before)


@pytest.mark.parametrize("user_id", [NOBODY, None])
def test_nobody_succeeds_at_nothing(sign_in, user_id):
    """A success for an id that nobody has raises PT404."""
    sign_in.throws_ok(RECORD, "PT404", user_id, True)


@pytest.mark.commits
@pytest.mark.commits
def test_a_failure_of_no_id_is_recorded_nowhere(sign_in, dba):
    """A failure for null raises nothing and leaves no decoy."""
    fail(sign_in, dba, None, times=1)
    dba.is_empty("SELECT * FROM auth.login_decoys")


# One-time tokens ------------------------------------------------------------------------------------------------------


@pytest.fixture
def token(sign_in, published) -> str:
    """A token for Alice to reset her password with."""
    return sign_in.value(ISSUE, published.user_id, "reset_password")


def test_a_one_time_token_is_64_hex_digits(token):
    """issue_one_time_token returns 32 random bytes in hex."""
    assert len(bytes.fromhex(token)) == 32


@pytest.mark.commits
def test_a_one_time_token_is_stored_as_its_digest(dba, token):
    """The table keeps SHA-256 of the token, an hour's life, and no attempt."""
    dba.results_eq(
        """SELECT sha256(convert_to(%s, 'UTF8')) = token_hash, expires_at - created_at, attempts, used_at
        FROM auth.one_time_tokens WHERE purpose = 'reset_password'""",
        [(True, timedelta(hours=1), 0, None)],
        token,
    )


@pytest.mark.parametrize("lifetime", ["1 second", "7 days"])
def test_a_one_time_token_lives_a_second_to_a_week(sign_in, published, lifetime):
    """Both bounds are allowed."""
    sign_in.lives_ok(f"{ISSUE[:-1]}, %s)", published.user_id, "verify_email", lifetime)


@pytest.mark.parametrize("lifetime", [None, "0 seconds", "-1 day", "0.999999 seconds", "7 days 00:00:00.000001"])
def test_a_one_time_token_lives_no_shorter_and_no_longer(sign_in, published, lifetime):
    """A lifetime past a bound raises PT422."""
    sign_in.throws_ok(f"{ISSUE[:-1]}, %s)", "PT422", published.user_id, "verify_email", lifetime)


@pytest.mark.parametrize("user_id", [NOBODY, None])
def test_nobody_gets_a_one_time_token(sign_in, user_id):
    """An id that nobody has raises PT404."""
    sign_in.throws_ok(ISSUE, "PT404", user_id, "verify_email")


def test_a_one_time_token_has_a_known_purpose(sign_in, published):
    """A purpose that isn't one raises 23514."""
    sign_in.throws_ok(ISSUE, "23514", published.user_id, "sign_in", constraint="one_time_tokens_purpose_check")


def test_a_token_is_redeemed_once(sign_in, published, token):
    """The right token is true the first time and false after."""
    sign_in.results_eq(REDEEM, [(True,)], published.user_id, "reset_password", token)
    sign_in.results_eq(REDEEM, [(False,)], published.user_id, "reset_password", token)


@pytest.mark.parametrize("wrong", ["", "0" * 64, None, "x" * 2**20], ids=["empty", "other", "null", "a megabyte"])
def test_a_wrong_token_is_false(sign_in, published, token, wrong):
    """Whatever isn't the token is false, and the token is still good."""
    sign_in.results_eq(REDEEM, [(False,)], published.user_id, "reset_password", wrong)
    sign_in.results_eq(REDEEM, [(True,)], published.user_id, "reset_password", token)


@pytest.mark.parametrize(("wrong_ones", "redeemed"), [(4, True), (5, False)])
def test_a_token_survives_four_wrong_attempts(sign_in, published, token, wrong_ones, redeemed):
    """The fifth attempt may be right; after five the token is dead."""
    for _ in range(wrong_ones):
        sign_in.results_eq(REDEEM, [(False,)], published.user_id, "reset_password", "0" * 64)
    sign_in.results_eq(REDEEM, [(redeemed,)], published.user_id, "reset_password", token)


@pytest.mark.commits
def test_an_expired_token_is_false(sign_in, dba, published, token):
    """A token whose time is over isn't redeemed."""
    dba.rows("UPDATE auth.one_time_tokens SET created_at = now() - interval '1 day', expires_at = now()")
    sign_in.results_eq(REDEEM, [(False,)], published.user_id, "reset_password", token)


def test_a_token_ends_with_the_next_one(sign_in, published, token):
    """Another token for the purpose replaces the first."""
    second = sign_in.value(ISSUE, published.user_id, "reset_password")
    sign_in.results_eq(REDEEM, [(False,)], published.user_id, "reset_password", token)
    sign_in.results_eq(REDEEM, [(True,)], published.user_id, "reset_password", second)


def test_a_new_token_has_five_attempts_of_its_own(sign_in, published, token):
    """What was tried on the token before, even to death, doesn't count against its successor."""
    for _ in range(5):
        sign_in.rows(REDEEM, published.user_id, "reset_password", "0" * 64)
    second = sign_in.value(ISSUE, published.user_id, "reset_password")
    sign_in.results_eq(REDEEM, [(True,)], published.user_id, "reset_password", second)


@pytest.mark.parametrize("purpose", ["verify_email", "sign_in", None])
def test_a_token_serves_its_own_purpose(sign_in, published, token, purpose):
    """For another purpose the token is false."""
    sign_in.results_eq(REDEEM, [(False,)], published.user_id, purpose, token)


def test_a_token_serves_its_own_person(sign_in, bob, token):
    """With somebody else's id the token is false."""
    sign_in.results_eq(REDEEM, [(False,)], bob.user_id, "reset_password", token)


VERIFIED = "SELECT user_id FROM auth.identities WHERE verified_at IS NOT NULL"


@pytest.mark.commits
def test_verifying_marks_the_email(sign_in, dba, published):
    """A verify_email token, redeemed, verifies this person's e-mail and nobody else's."""
    verify = sign_in.value(ISSUE, published.user_id, "verify_email")
    sign_in.results_eq(REDEEM, [(True,)], published.user_id, "verify_email", verify)
    dba.results_eq(VERIFIED, [(published.user_id,)])


def test_verifying_marks_nothing_else(service, published):
    """What another provider says of the person stays as it was."""
    subject = "INSERT INTO auth.identities (provider, subject, user_id) VALUES ('company', %s, %s)"
    service.rows(subject, published.email, published.user_id)
    verify = service.value(ISSUE, published.user_id, "verify_email")
    service.rows(REDEEM, published.user_id, "verify_email", verify)
    service.results_eq("SELECT provider FROM auth.identities WHERE verified_at IS NOT NULL", [("email",)])


def test_an_email_that_was_verified_was_verified_then(service, published):
    """Verifying again leaves the time of the first."""
    service.rows("UPDATE auth.identities SET verified_at = now() - interval '1 day'")
    verify = service.value(ISSUE, published.user_id, "verify_email")
    service.rows(REDEEM, published.user_id, "verify_email", verify)
    service.is_empty("SELECT FROM auth.identities WHERE verified_at = now()")


@pytest.mark.commits
def test_a_wrong_token_verifies_nothing(sign_in, dba, published):
    """A wrong verify_email token leaves the e-mail unverified."""
    sign_in.rows(REDEEM, published.user_id, "verify_email", "0" * 64)
    dba.is_empty(VERIFIED)


@pytest.mark.commits
def test_resetting_the_password_verifies_nothing(sign_in, dba, published, token):
    """A reset_password token, redeemed, says nothing of the e-mail."""
    sign_in.results_eq(REDEEM, [(True,)], published.user_id, "reset_password", token)
    dba.is_empty(VERIFIED)


def test_a_reset_sets_the_new_hash(sign_in, published, token):
    """reset_password returns true, and login_credential has the new hash from then on."""
    sign_in.results_eq(RESET, [(True,)], published.user_id, token, OTHER_HASH)
    sign_in.results_eq(CREDENTIAL, [(published.user_id, OTHER_HASH, None)], published.email)


@pytest.mark.commits
def test_a_reset_lifts_the_lock(sign_in, published, token, dba):
    """Who resets their password needn't wait for the guesser's lock to end."""
    fail(sign_in, dba, published.user_id)
    sign_in.results_eq(RESET, [(True,)], published.user_id, token, OTHER_HASH)
    sign_in.lives_ok(CREDENTIAL, published.email)


@pytest.mark.commits
def test_a_reset_ends_every_session(sign_in, stranger, published, token):
    """Every token of the person stops, of whatever sign-in."""
    tokens = [published.token, sign_in.value("SELECT auth.start_session(%s)", published.user_id)]
    sign_in.results_eq(RESET, [(True,)], published.user_id, token, OTHER_HASH)
    for session in tokens:
        stranger.throws_ok(USE, "PT401", session)


@pytest.mark.commits
def test_a_reset_ends_nobody_elses_session(sign_in, bob, published, token):
    """Bob's session goes on when Alice resets her password."""
    sign_in.results_eq(RESET, [(True,)], published.user_id, token, OTHER_HASH)
    bob.lives_ok("SELECT 1")


@pytest.mark.commits
def test_a_reset_gives_a_password_to_who_had_none(sign_in, dba, published, token):
    """A person who signed in elsewhere so far has a password after a reset."""
    dba.rows("DELETE FROM auth.passwords WHERE user_id = %s", published.user_id)
    sign_in.results_eq(RESET, [(True,)], published.user_id, token, OTHER_HASH)
    sign_in.results_eq(CREDENTIAL, [(published.user_id, OTHER_HASH, None)], published.email)


@pytest.mark.commits
def test_a_reset_with_a_wrong_token_changes_nothing(sign_in, alice, token):
    """reset_password returns false: the hash stays, and so does the session."""
    sign_in.results_eq(RESET, [(False,)], alice.user_id, "0" * 64, OTHER_HASH)
    sign_in.results_eq("SELECT password_hash FROM auth.login_credential('alice@example.com')", [(PASSWORD_HASH,)])
    alice.lives_ok("SELECT 1")


def test_a_wrong_reset_counts_as_an_attempt(sign_in, published, token):
    """After five wrong resets the right token is false too."""
    for _ in range(5):
        sign_in.results_eq(RESET, [(False,)], published.user_id, "0" * 64, OTHER_HASH)
    sign_in.results_eq(RESET, [(False,)], published.user_id, token, OTHER_HASH)


def test_a_password_is_reset_once(sign_in, published, token):
    """The token that reset the password can't reset it again."""
    sign_in.results_eq(RESET, [(True,)], published.user_id, token, OTHER_HASH)
    sign_in.results_eq(RESET, [(False,)], published.user_id, token, PASSWORD_HASH)


def test_a_token_to_verify_an_email_resets_no_password(sign_in, published):
    """Tokens of another purpose are false to reset_password."""
    verify = sign_in.value(ISSUE, published.user_id, "verify_email")
    sign_in.results_eq(RESET, [(False,)], published.user_id, verify, OTHER_HASH)


def test_a_hash_that_is_refused_leaves_the_token_good(sign_in, published, token):
    """A hash that isn't Argon2id raises 23514, and the same token then works with one that is."""
    sign_in.throws_ok(RESET, "23514", published.user_id, token, "swordfish", constraint="passwords_password_hash_check")
    sign_in.results_eq(RESET, [(True,)], published.user_id, token, OTHER_HASH)


# Purging --------------------------------------------------------------------------------------------------------------

ENDINGS = {
    "auth.sessions": "UPDATE auth.sessions SET created_at = 'epoch', expires_at = {at} WHERE user_id = '{user_id}'",
    "auth.one_time_tokens": """UPDATE auth.one_time_tokens SET created_at = 'epoch', expires_at = {at}
        WHERE user_id = '{user_id}'""",
    "auth.login_decoys": "INSERT INTO auth.login_decoys VALUES ('{user_id}', 1, {at})",
}


@pytest.mark.commits
@pytest.mark.parametrize("table", ENDINGS)
@pytest.mark.parametrize(("before", "purged"), [("2020-01-01T00:00Z", 0), ("2020-01-01T00:00:00.000001Z", 1)])
def test_what_ended_before_is_purged(worker, dba, published, table, before, purged):
    """purge_expired deletes what ended before p_before, not what ended at it, and returns how many."""
    dba.rows(ENDINGS[table].format(at="'2020-01-01T00:00Z'", user_id=published.user_id))
    [(rows,)] = dba.rows(f"SELECT count(*) FROM {table}")
    worker.results_eq("SELECT auth.purge_expired(%s)", [(purged,)], before)
    dba.results_eq(f"SELECT count(*) FROM {table}", [(rows - purged,)])


@pytest.mark.commits
@pytest.mark.parametrize("table", ENDINGS)
@pytest.mark.parametrize(("days", "purged"), [(29, 0), (31, 1)])
def test_what_ended_thirty_days_ago_is_purged(worker, dba, published, table, days, purged):
    """Unless told otherwise, what ended in the last thirty days is kept."""
    dba.rows(ENDINGS[table].format(at=f"now() - interval '{days} days'", user_id=published.user_id))
    worker.results_eq("SELECT auth.purge_expired()", [(purged,)])


def test_what_has_not_ended_is_not_purged(worker):
    """Nothing of the cast has ended: nothing is purged."""
    worker.results_eq("SELECT auth.purge_expired(now())", [(0,)])


def test_a_token_without_a_purpose_is_refused(sign_in, alice):
    """A null purpose is invalid input, not an unknown person."""
    sign_in.throws_ok("SELECT auth.issue_one_time_token(%s, NULL)", "PT422", alice.user_id)
