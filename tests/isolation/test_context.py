"""Attacks on pulsex.context: whatever is put there by hand, nobody is who they say unless the signature says so."""

import hashlib
import hmac

import pytest

from tests.actors import Actor

CONTEXT = "SELECT current_setting('pulsex.context')"
SET = "SELECT set_config('pulsex.context', %s, true)"
NOBODY = [(None, 0)]
WHO = "SELECT auth.current_user_id(), (SELECT count(*) FROM pulsex.users)"
KEEP = "SELECT set_config('pulsex.context', current_setting('pulsex.context'), false)"

# What becomes of a context that is right at this very moment.
SPOILT = {
    "empty": lambda context, bob: "",
    "one character": lambda context, bob: "x",
    "the id alone": lambda context, bob: context[:36],
    "the signature alone": lambda context, bob: context[37:],
    "cut short by one": lambda context, bob: context[:-1],
    "longer by one": lambda context, bob: context + "0",
    "twice": lambda context, bob: context * 2,
    "a space before": lambda context, bob: " " + context[:-1],
    "a line break after": lambda context, bob: context + "\n",
    "upper case": lambda context, bob: context.upper(),
    "the signature in upper case": lambda context, bob: context[:36] + context[36:].upper(),
    "the id in braces": lambda context, bob: "{" + context[:36] + "}" + context[37:],
    "the id without hyphens": lambda context, bob: context[:36].replace("-", "") + context[36:],
    "another's id": lambda context, bob: bob + context[36:],
    "nobody's id": lambda context, bob: "0" * 8 + context[8:],
    "one digit of the signature": lambda context, bob: context[:-1] + ("0" if context[-1] != "0" else "1"),
    "no signature": lambda context, bob: context[:37] + "0" * 64,
    "a hash without a key": lambda context, bob: context[:37] + hashlib.sha256(context[:36].encode()).hexdigest(),
    "an empty key": lambda context, bob: context[:37] + hmac.digest(b"", context[:36].encode(), "sha256").hex(),
    "letters that aren't ASCII, of the right length in bytes": lambda context, bob: "é" * 50 + "x",
    "letters that aren't ASCII, of the right length in characters": lambda context, bob: context[:36] + "é" * 65,
    "half a letter at the end of the id": lambda context, bob: context[:35] + "é" + context[37:],
    "half a letter at the beginning of the signature": lambda context, bob: context[:36] + "é" + context[38:],
    "no id, of the right length": lambda context, bob: "z" * 36 + context[36:],
    "quotes": lambda context, bob: ("'; DROP TABLE pulsex.users; --" + context)[:101],
    "a megabyte": lambda context, bob: context * 10_000,
}


@pytest.mark.parametrize("spoil", SPOILT.values(), ids=SPOILT)
def test_a_context_that_is_not_right_to_the_letter_is_nobodys(spoil, alice, bob):
    """In Alice's own transaction, where her context is right, any other one is null and not an error."""
    context = alice.value(CONTEXT)
    alice.rows(SET, spoil(context, str(bob.user_id)))
    alice.results_eq(WHO, NOBODY)
    alice.rows(SET, context)
    alice.results_eq(WHO, [(alice.user_id, 1)])


def test_another_persons_context_is_nobodys_at_the_same_time(alice, bob):
    """Two transactions at once: Bob's context, right in his, is nobody's in Alice's."""
    alice.rows(SET, bob.value(CONTEXT))
    alice.results_eq(WHO, NOBODY)
    bob.results_eq(WHO, [(bob.user_id, 1)])


def test_a_context_is_no_default_of_the_database(alice):
    """Only an operator may set for every connection what each would start with."""
    alice.throws_ok("ALTER DATABASE postgres SET pulsex.context = 'x'", "42501")


@pytest.mark.commits
class TestAcrossTransactions:
    """A context that was right once."""

    def test_it_is_dead_in_the_next_transaction(self, stranger: Actor, published):
        """Kept at session level, as SET without LOCAL does, it proves nothing to the next transaction."""
        with stranger.connection.transaction():
            stranger.rows("SELECT auth.use_session(%s)", published.token)
            stranger.rows(KEEP)
            stranger.results_eq(WHO, [(published.user_id, 1)])
        assert len(stranger.value(CONTEXT)) == 101
        stranger.results_eq(WHO, NOBODY)

    def test_it_lives_in_one_message_and_no_longer(self, stranger: Actor, published):
        """Transactions sent as one message began at one time, so a kept context is good until the message ends."""
        server = stranger.connection.pgconn
        prove = f"BEGIN; SELECT auth.use_session('{published.token}'); {KEEP}; COMMIT"
        assert server.exec_(f"{prove}; BEGIN; {WHO}".encode()).get_value(0, 1) == b"1"
        assert server.exec_(f"COMMIT; {WHO}".encode()).get_value(0, 1) == b"0"

    @pytest.mark.parametrize(("rotations", "lives"), [(1, True), (2, False)])
    def test_one_rotation_leaves_it_alive_and_two_do_not(
        self, rotations, lives, stranger: Actor, dba: Actor, published
    ):
        """The key rotates once: the transaction under way goes on; twice: nobody is anybody any more."""
        with stranger.connection.transaction():
            stranger.rows("SELECT auth.use_session(%s)", published.token)
            for _ in range(rotations):
                dba.rows("SELECT auth.rotate_signing_key()")
            stranger.results_eq(WHO, [(published.user_id, 1)] if lives else NOBODY)
        with stranger.connection.transaction():
            stranger.rows("SELECT auth.use_session(%s)", published.token)
            stranger.results_eq(WHO, [(published.user_id, 1)])
