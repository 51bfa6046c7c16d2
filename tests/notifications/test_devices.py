"""A push token has one live owner: no message reaches whoever had the phone before."""

from concurrent.futures import ThreadPoolExecutor

import psycopg
import pytest

from tests.notifications.desk import LEASE, NOON
from tests.notifications.meeting import blocked

REGISTER = "SELECT pulsex.register_device(%s, %s, %s)"
RETIRE = "SELECT pulsex.retire_device(%s, %s, %s)"
LIVE = "SELECT platform, push_token FROM pulsex.devices WHERE retired_at IS NULL ORDER BY platform"


@pytest.fixture
def phone(alice) -> str:
    """The token of Alice's only device from now on."""
    alice.rows("SELECT pulsex.forget_device(%s, device_id) FROM pulsex.devices", alice.user_id)
    alice.rows(REGISTER, alice.user_id, "ios", "phone")
    return "phone"


def test_a_new_token_is_a_new_device(alice):
    """Beside the one there was."""
    alice.rows(REGISTER, alice.user_id, "android", "new")
    alice.results_eq(LIVE, [("android", "new"), ("web", f"push-{alice.user_id}")])


def test_a_known_token_is_the_same_device(alice):
    """Seen again, perhaps as another platform."""
    first = alice.value(REGISTER, alice.user_id, "ios", "new")
    assert alice.value(REGISTER, alice.user_id, "android", "new") == first
    alice.results_eq("SELECT platform, last_seen_at = now() FROM pulsex.devices WHERE device_id = %s",
                     [("android", True)], first)  # fmt: skip


def test_what_is_seen_again_is_one_device_of_several(alice, service):
    """Another of hers is as it was when it was seen last."""
    service.rows("UPDATE pulsex.devices SET last_seen_at = now() - interval '1 day'")
    for _ in range(2):
        alice.rows(REGISTER, alice.user_id, "android", "new")
    alice.results_eq(
        "SELECT platform, last_seen_at < now() FROM pulsex.devices ORDER BY platform",
        [("android", False), ("web", True)],
    )


def test_what_is_forgotten_is_one_device_of_several(alice, service):
    """The other's token stays hers."""
    device = alice.value(REGISTER, alice.user_id, "ios", "new")
    alice.rows("SELECT pulsex.forget_device(%s, %s)", alice.user_id, device)
    service.results_eq(
        "SELECT device_id <> %s FROM pulsex.push_token_owners WHERE user_id = %s", [(True,)], device, alice.user_id
    )


def test_a_token_moves_with_the_phone(alice, bob, service, phone):
    """Who signs in on it gets it; the other's device is retired; it has one owner."""
    device_id = bob.value(REGISTER, bob.user_id, "ios", phone)
    alice.is_empty(LIVE)
    bob.results_eq(LIVE, [("ios", phone), ("web", f"push-{bob.user_id}")])
    service.results_eq(
        """SELECT o.user_id, o.device_id FROM pulsex.push_token_owners AS o
        WHERE o.push_token_hash = sha256('phone')""",
        [(bob.user_id, device_id)],
    )


def test_a_token_moves_back(alice, bob, phone):
    """As another device, as often as the phone does."""
    bob.rows(REGISTER, bob.user_id, "ios", phone)
    alice.rows(REGISTER, alice.user_id, "ios", phone)
    alice.results_eq(LIVE, [("ios", phone)])
    bob.results_eq(LIVE, [("web", f"push-{bob.user_id}")])


def test_what_waits_for_a_phone_that_moved_is_cancelled(desk, alice, bob, phone):
    """It was Alice's last device: nothing of hers is pushed any more, and Bob's is."""
    hers, inbox, his = desk.enqueue(alice), desk.enqueue(alice, "in_app"), desk.enqueue(bob)
    bob.rows(REGISTER, bob.user_id, "ios", phone)
    assert desk.state(hers) == ("cancelled", "no_device")
    assert {claimed.notification_id for claimed in desk.claim()} == {inbox, his}


def test_what_waits_for_other_devices_is_sent_to_them_alone(desk, alice, bob, phone):
    """Alice has another device: the phone that is Bob's now isn't among her targets."""
    alice.rows(REGISTER, alice.user_id, "web", "desktop")
    hers = desk.enqueue(alice)
    bob.rows(REGISTER, bob.user_id, "ios", phone)
    [claimed] = [c for c in desk.claim() if c.notification_id == hers]
    assert [target["push_token"] for target in claimed.targets] == ["desktop"]


def test_what_failed_before_the_phone_moved_isnt_sent_to_it(desk, alice, bob, phone):
    """It waits for another try: it is cancelled too."""
    told = desk.enqueue(alice)
    again = desk.fail(desk.lease())
    bob.rows(REGISTER, bob.user_id, "ios", phone)
    assert desk.claim(again) == []
    assert desk.state(told) == ("cancelled", "no_device")


def test_what_a_worker_is_sending_isnt_cancelled(desk, worker, alice, phone):
    """It has gone out, perhaps; the worker says how it ended. If it never does, it is cancelled then."""
    told = desk.enqueue(alice)
    claimed = desk.lease()
    retire(worker, alice, at=NOON)
    assert desk.state(told) == ("pending", None)
    desk.complete(claimed)
    assert desk.state(told) == ("sent", None)


@pytest.mark.commits
def test_what_a_worker_leases_at_this_moment_isnt_cancelled(desk, alice, phone, database):
    """Whoever retires the phone waits for the worker to have its lease, and then leaves that alone."""
    told = desk.enqueue(alice)
    device_id = alice.value("SELECT device_id FROM pulsex.devices WHERE push_token = 'phone'")
    with (
        psycopg.connect(database.url, user="pulsex_worker") as sender,
        psycopg.connect(database.url, user="pulsex_worker") as provider,
        ThreadPoolExecutor() as pool,
    ):
        sender.execute("SELECT pulsex.claim_notifications('one', p_at => %s)", [NOON])
        retired = pool.submit(provider.execute, RETIRE, [alice.user_id, device_id, NOON])
        blocked(database, provider)
        sender.commit()
        retired.result()
    assert desk.state(told) == ("pending", None)


def test_what_a_dead_worker_had_is_cancelled(desk, worker, alice, phone):
    """Its lease had ended: the attempt is in the history."""
    told = desk.enqueue(alice)
    desk.lease()
    retire(worker, alice, at=NOON + LEASE)
    assert (desk.state(told), desk.history(told)) == (("cancelled", "no_device"), [(1, "lease_expired")])


def test_the_provider_knows_the_token_no_more(desk, worker, alice, service, phone):
    """The device is retired, what waits is cancelled; told again, nothing changes."""
    told = desk.enqueue(alice)
    retire(worker, alice, at=NOON)
    retire(worker, alice, at=NOON + LEASE)
    alice.results_eq("SELECT retired_at FROM pulsex.devices WHERE push_token = 'phone'", [(NOON,)])
    service.is_empty("SELECT FROM pulsex.push_token_owners WHERE user_id = %s", alice.user_id)
    assert desk.state(told) == ("cancelled", "no_device")


def test_one_device_of_several_is_retired_alone(desk, worker, alice, phone):
    """What waits goes to the other."""
    alice.rows(REGISTER, alice.user_id, "web", "desktop")
    told = desk.enqueue(alice)
    retire(worker, alice, at=NOON)
    assert desk.lease().notification_id == told


def test_a_device_of_somebody_elses_is_not_retired(worker, alice, bob, service, phone):
    """An id is a person's own: Bob's device of the same id keeps its token."""
    service.rows(
        """WITH same AS (
            INSERT INTO pulsex.devices (user_id, device_id, platform, push_token)
            SELECT %s, device_id, 'web', 'desktop' FROM pulsex.devices WHERE push_token = 'phone'
            RETURNING user_id, device_id
        )
        INSERT INTO pulsex.push_token_owners (push_token_hash, user_id, device_id)
        SELECT sha256('desktop'), user_id, device_id FROM same""",
        bob.user_id,
    )
    retire(worker, alice, at=NOON)
    service.results_eq(
        "SELECT user_id FROM pulsex.push_token_owners WHERE push_token_hash = sha256('desktop')", [(bob.user_id,)]
    )


def test_the_old_owners_device_can_be_retired_late(worker, alice, bob, service, phone):
    """A provider's answer about Alice's message, when the token is Bob's already: he keeps it."""
    bob.rows(REGISTER, bob.user_id, "ios", phone)
    retire(worker, alice, at=NOON)
    service.results_eq(
        "SELECT user_id FROM pulsex.push_token_owners WHERE push_token_hash = sha256('phone')", [(bob.user_id,)]
    )
    bob.results_eq("SELECT retired_at FROM pulsex.devices WHERE push_token = 'phone'", [(None,)])


def test_signing_out_forgets_the_device(desk, alice):
    """One's own; what waits for it is cancelled."""
    told = desk.enqueue(alice)
    alice.rows("SELECT pulsex.forget_device(%s, device_id) FROM pulsex.devices", alice.user_id)
    alice.is_empty(LIVE)
    assert desk.state(told) == ("cancelled", "no_device")


@pytest.mark.parametrize(
    ("platform", "token", "sqlstate", "about"),
    [
        ("nokia", "new", "23514", "devices_platform_check"), ("ios", "", "23514", "devices_push_token_check"),
        ("ios", "t" * 4097, "23514", "devices_push_token_check"), (None, "new", "23502", None),
        ("ios", None, "23502", None), ("nokia", "phone", "23514", "devices_platform_check"),
    ],
    ids=str,
)  # fmt: skip
def test_what_is_refused(alice, phone, platform, token, sqlstate, about):
    """A device that is none, be it new or known."""
    alice.throws_ok(REGISTER, sqlstate, alice.user_id, platform, token, constraint=about)


def test_only_ones_own(alice, bob, stranger, worker):
    """Nobody registers for somebody else, nor forgets for them; a device that isn't there is not found."""
    device_id = bob.value("SELECT device_id FROM pulsex.devices")
    alice.throws_ok(REGISTER, "PT403", bob.user_id, "ios", "new")
    stranger.throws_ok(REGISTER, "PT403", bob.user_id, "ios", "new")
    alice.throws_ok("SELECT pulsex.forget_device(%s, %s)", "PT403", bob.user_id, device_id)
    alice.throws_ok("SELECT pulsex.forget_device(%s, %s)", "PT404", alice.user_id, device_id)
    worker.throws_ok("SELECT pulsex.retire_device(%s, %s)", "PT404", alice.user_id, device_id)
    bob.results_eq("SELECT retired_at FROM pulsex.devices", [(None,)])


@pytest.mark.commits
def test_two_accounts_at_once_on_one_phone(database):
    """Eight times each, at once: nobody fails, and the token has one owner, whose one live device it is."""

    def sign_in(name: str) -> None:
        person = database.cast[name]
        with psycopg.connect(database.url, user="pulsex_app", autocommit=True) as connection:
            for _ in range(8):
                with connection.transaction():
                    connection.execute("SELECT auth.use_session(%s)", [person.token])
                    connection.execute(REGISTER, [person.user_id, "ios", "phone"])

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(sign_in, ["alice", "bob", "alice", "bob"]))
    dba = database.actor("dba", "postgres")
    owner = dba.rows("SELECT user_id, device_id FROM pulsex.push_token_owners WHERE push_token_hash = sha256('phone')")
    assert len(owner) == 1
    dba.results_eq(
        "SELECT user_id, device_id FROM pulsex.devices WHERE push_token = 'phone' AND retired_at IS NULL", owner
    )


def retire(worker, person, at) -> None:
    """Have the provider say that a person's phone is unregistered."""
    device_id = person.value("SELECT device_id FROM pulsex.devices WHERE push_token = 'phone'")
    worker.rows(RETIRE, person.user_id, device_id, at)
