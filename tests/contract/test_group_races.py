"""What holds in groups when two workers do something at the same time on one database (fault 61)."""

from collections.abc import Iterator
from typing import Any

import pytest
import pytest_twisted
from twisted.internet import reactor
from twisted.internet.defer import Deferred, DeferredList

from chatd.bus.local import LocalBus
from chatd.errors import Forbidden, NotFound, TooLarge
from chatd.settings.model import Groups
from chatd.store.pool import Pool
from tests.kit.fellow_workers import Worker
from tests.kit.stores import migrated, new_user, postgres_stores

ROUNDS = 6
OF_TWO = Groups(max_members=3)


@pytest.fixture(scope="module")
def pools(migrated_dsn: str) -> Iterator[list[Pool]]:
    """Two, each with connections of its own."""
    pools = [Pool(reactor, migrated_dsn, size=2) for _ in range(2)]
    for pool in pools:
        pool.startService()
        pytest_twisted.blockon(Deferred.fromCoroutine(migrated(pool)))
    yield pools
    for pool in pools:
        pytest_twisted.blockon(pool.stopService())


@pytest.fixture
def workers(pools: list[Pool]) -> Iterator[list[Worker]]:
    """They hear nothing of each other: what holds, holds by the database."""
    failed: list[BaseException] = []
    yield [Worker(postgres_stores(pool, failed.append), LocalBus(), reactor, failed, OF_TWO) for pool in pools]
    assert failed == []


async def founded(workers: list[Worker], **roles: str) -> tuple[str, dict[str, str]]:
    """A group that both workers know, with people of these names and roles. The first is its owner; their ids."""
    ids = {name: new_user(name) for name in roles}
    owner, *others = ids
    reply = await workers[0].ask(ids[owner], "group.create", title="Choir", members=[ids[name] for name in others])
    group = reply.conversation
    for name in others:
        if roles[name] != "member":
            await workers[0].ask(ids[owner], "member.role", conversation=group, user=ids[name], role=roles[name])
    for worker in workers:
        await worker.ask(ids[owner], "message.send", conversation=group, text="all are here")
    return group, ids


async def at_once(*asked: Deferred[Any]) -> list[Any]:
    """The replies of what is under way at the same time, or the errors."""
    results = await DeferredList(asked, consumeErrors=True)
    return [result if succeeded else result.value for succeeded, result in results]


async def owners(worker: Worker, group: str) -> int:
    roster = await worker.stores.conversations.roster(group)
    assert roster is not None
    return sum(one.role == "owner" for one in roster.members.values())


def names(outcomes: list[Any]) -> list[str]:
    return sorted(type(outcome).__name__ for outcome in outcomes)


@pytest.mark.parametrize("name", ["member.leave", "member.role"])
@pytest_twisted.ensureDeferred
async def test_of_two_owners_who_go_at_once_one_stays(workers: list[Worker], name: str) -> None:
    for _ in range(ROUNDS):
        group, ids = await founded(workers, alice="owner", bob="owner")
        outcomes = await at_once(
            *(
                worker.ask(
                    user, name, conversation=group, **({"user": user, "role": "member"} if "role" in name else {})
                )
                for worker, user in zip(workers, ids.values(), strict=True)
            )
        )
        assert names(outcomes) == ["Changed", "Forbidden"]
        assert await owners(workers[0], group) == 1


@pytest_twisted.ensureDeferred
async def test_two_owners_who_demote_each_other_do_not_both_succeed(workers: list[Worker]) -> None:
    for _ in range(ROUNDS):
        group, ids = await founded(workers, alice="owner", bob="owner")
        outcomes = await at_once(
            workers[0].ask(ids["alice"], "member.role", conversation=group, user=ids["bob"], role="member"),
            workers[1].ask(ids["bob"], "member.role", conversation=group, user=ids["alice"], role="member"),
        )
        assert names(outcomes) == ["Changed", "Forbidden"]
        assert await owners(workers[0], group) == 1


@pytest_twisted.ensureDeferred
async def test_who_is_demoted_removes_nobody_afterwards(workers: list[Worker]) -> None:
    for _ in range(ROUNDS):
        group, ids = await founded(workers, alice="owner", bob="admin", carol="member")
        demoted, removed = await at_once(
            workers[0].ask(ids["alice"], "member.role", conversation=group, user=ids["bob"], role="member"),
            workers[1].ask(ids["bob"], "member.remove", conversation=group, user=ids["carol"]),
        )
        assert isinstance(removed, Forbidden) or removed.seq < demoted.seq
        page = await workers[1].ask(ids["alice"], "member.list", conversation=group)
        assert (ids["carol"] in [one.user for one in page.members]) is isinstance(removed, Forbidden)


@pytest.mark.parametrize("name", ["member.remove", "member.ban", "member.mute", "group.delete", "group.update"])
@pytest_twisted.ensureDeferred
async def test_nothing_is_said_after_what_forbids_it(workers: list[Worker], name: str) -> None:
    """Whoever is removed, banned or muted, or whose group is deleted, said it before or not at all."""
    for _ in range(ROUNDS):
        group, ids = await founded(workers, alice="owner", bob="member")
        fields: dict[str, Any] = {} if name.startswith("group") else {"user": ids["bob"]}
        if name == "member.mute":
            fields["until"] = "2999-01-01T00:00:00Z"
        if name == "group.update":
            fields["rules"] = {"posting": "admin"}
        sends = [workers[1].ask(ids["bob"], "message.send", conversation=group, text=str(n)) for n in range(3)]
        asked = workers[0].ask(ids["alice"], name, conversation=group, **fields)
        sends += [workers[1].ask(ids["bob"], "message.send", conversation=group, text=str(n)) for n in range(3)]
        deciding, *said = await at_once(asked, *sends)
        for outcome in said:
            assert isinstance(outcome, NotFound | Forbidden) or outcome.seq < deciding.seq
        [late] = await at_once(workers[1].ask(ids["bob"], "message.send", conversation=group, text="late"))
        assert isinstance(late, NotFound | Forbidden)


@pytest_twisted.ensureDeferred
async def test_the_last_place_is_taken_once(workers: list[Worker]) -> None:
    for _ in range(ROUNDS):
        group, ids = await founded(workers, alice="owner", bob="member")
        guests = [new_user("guest") for _ in workers]
        for guest in guests:
            await workers[0].ask(ids["alice"], "invitation.send", conversation=group, user=guest)
        outcomes = await at_once(
            *(
                worker.ask(guest, "invitation.accept", conversation=group)
                for worker, guest in zip(workers, guests, strict=True)
            )
        )
        assert names(outcomes) == ["Changed", "TooLarge"]
        assert TooLarge in map(type, outcomes)


@pytest_twisted.ensureDeferred
async def test_an_invitation_is_accepted_or_taken_back(workers: list[Worker]) -> None:
    for _ in range(ROUNDS):
        group, ids = await founded(workers, alice="owner")
        guest = new_user("guest")
        await workers[0].ask(ids["alice"], "invitation.send", conversation=group, user=guest)
        outcomes = await at_once(
            workers[0].ask(ids["alice"], "invitation.revoke", conversation=group, user=guest),
            workers[1].ask(guest, "invitation.accept", conversation=group),
        )
        assert names(outcomes) == ["Changed", "NotFound"]


@pytest_twisted.ensureDeferred
async def test_two_updates_at_once_both_stand(workers: list[Worker]) -> None:
    for _ in range(ROUNDS):
        group, ids = await founded(workers, alice="owner", bob="admin")
        outcomes = await at_once(
            workers[0].ask(ids["alice"], "group.update", conversation=group, title="Band"),
            workers[1].ask(ids["bob"], "group.update", conversation=group, description="We play"),
        )
        assert names(outcomes) == ["Changed", "Changed"]
        info = await workers[0].ask(ids["alice"], "group.get", conversation=group)
        assert (info.title, info.description) == ("Band", "We play")


@pytest_twisted.ensureDeferred
async def test_one_founding_asked_for_twice_makes_one_group(workers: list[Worker]) -> None:
    for _ in range(ROUNDS):
        alice, bob = new_user("alice"), new_user("bob")
        first, second = await at_once(
            *(worker.ask(alice, "group.create", client_id="g", title="Choir", members=[bob]) for worker in workers)
        )
        assert first == second
        assert len(await workers[0].stores.conversations.positions(bob, "phone")) == 2
