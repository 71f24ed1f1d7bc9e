"""A rotation ends with every key under the current master key, or says what is left, and never otherwise."""

from collections.abc import Callable, Sequence
from datetime import UTC, datetime

import msgspec
import pytest

from chatd.ctl.rotation import NAMED, Proof, Rotation
from chatd.records.keys import Rewrapped, WrappedKey
from chatd.security.keyring import Keyring, MasterKeys
from chatd.store.memory.database import MemoryDatabase
from chatd.store.memory.keys import MemoryKeys
from tests.kit.at_once import at_once

OLD, NEW = bytes(32), bytes(range(32))
BEFORE = MasterKeys({"old": OLD})
BOTH = MasterKeys({"old": OLD, "new": NEW})
AFTER = MasterKeys({"new": NEW})
USERS = ("", "alice", "bob", "carol", "dave", "eve")


class Keys(MemoryKeys):
    """Keys in memory; ``meanwhile`` is called before each batch is written, once."""

    def __init__(self) -> None:
        super().__init__(MemoryDatabase(lambda: datetime.now(UTC)))
        self.meanwhile: Callable[[], None] | None = None
        self.batches: list[int] = []

    async def rewrap(self, keys: Sequence[Rewrapped]) -> int:
        meanwhile, self.meanwhile = self.meanwhile, None
        if meanwhile is not None:
            meanwhile()
        self.batches.append(len(keys))
        return await super().rewrap(keys)

    @property
    def all(self) -> dict[str, WrappedKey]:
        return self._database.keys


@pytest.fixture
def store() -> Keys:
    store = Keys()
    for user in USERS:
        at_once(store.add(Keyring(BEFORE).create(user)))
    return store


def rotate(store: Keys, masters: MasterKeys = BOTH) -> tuple[int, Proof]:
    rotation = Rotation(store, masters, batch=2)
    return at_once(rotation.rewrap(lambda done, total: None)), at_once(rotation.prove(lambda done, total: None))


def same(store: Keys, before: dict[str, WrappedKey]) -> bool:
    """Whether all data keys are what they were, whatever wraps them."""
    return all(
        Keyring(BOTH).open(store.all[user]).digest(b"x") == Keyring(BOTH).open(key).digest(b"x")
        for user, key in before.items()
    )


def test_every_key_then_opens_with_the_new_master_key_alone_and_is_the_same(store: Keys) -> None:
    before = dict(store.all)
    rewrapped, proof = rotate(store)
    assert (rewrapped, proof) == (6, Proof(current="new", opened=6, left=0, some=(), late=()))
    assert proof.complete
    assert {key.master for key in store.all.values()} == {"new"}
    for key in store.all.values():
        Keyring(AFTER).open(key)
    assert same(store, before)
    assert max(store.batches) <= 2


def test_a_second_rotation_finds_nothing_to_do(store: Keys) -> None:
    rotate(store)
    before = dict(store.all)
    rewrapped, proof = rotate(store)
    assert (rewrapped, proof.complete, store.all) == (0, True, before)


def test_one_that_was_killed_is_gone_on_with(store: Keys) -> None:
    def killed() -> None:
        raise KeyboardInterrupt

    store.meanwhile = None
    rotation = Rotation(store, BOTH, batch=2)
    shown: list[tuple[int, int]] = []

    def after_the_first_batch(done: int, total: int) -> None:
        shown.append((done, total))
        store.meanwhile = killed

    with pytest.raises(KeyboardInterrupt):
        at_once(rotation.rewrap(after_the_first_batch))
    assert shown == [(2, 6)]
    assert sorted(key.master for key in store.all.values()) == ["new"] * 2 + ["old"] * 4
    rewrapped, proof = rotate(store)
    assert (rewrapped, proof.opened, proof.complete) == (4, 6, True)


def test_two_at_once_do_no_harm(store: Keys) -> None:
    before = dict(store.all)
    store.meanwhile = lambda: rotate(store) and None
    rewrapped, proof = rotate(store)
    assert (rewrapped, proof.complete) == (0, True)
    assert same(store, before)


def test_keys_that_come_and_go_meanwhile_are_neither_lost_nor_brought_back(store: Keys) -> None:
    def meanwhile() -> None:
        at_once(store.destroy("alice"))
        at_once(store.add(Keyring(BOTH).create("frank")))

    store.meanwhile = meanwhile
    rewrapped, proof = rotate(store)
    assert (rewrapped, proof.opened, proof.complete) == (5, 6, True)
    assert "alice" not in store.all
    assert "frank" in store.all


def test_a_key_that_a_worker_wraps_by_the_old_one_behind_the_rotations_back_is_noticed(store: Keys) -> None:
    """Such a worker has not been reloaded: it would go on."""
    rotation = Rotation(store, BOTH, batch=2)
    at_once(rotation.rewrap(lambda done, total: None))

    def late(done: int, total: int) -> None:
        if "aaron" not in store.all:
            at_once(store.add(Keyring(BEFORE).create("aaron")))

    proof = at_once(rotation.prove(late))
    assert (proof.left, proof.late, proof.complete) == (0, ("old",), False)


def test_what_does_not_open_is_named_and_stays_as_it_is(store: Keys) -> None:
    spoilt = msgspec.structs.replace(store.all["bob"], wrapped=bytes(61))
    unknown = Keyring(MasterKeys({"lost": b"x" * 32})).create("carol")
    store.all.update(bob=spoilt, carol=unknown, dave=msgspec.structs.replace(store.all["eve"], user="dave"))
    rewrapped, proof = rotate(store)
    assert (rewrapped, proof.opened, proof.left, proof.complete) == (3, 3, 3, False)
    assert [(one.user, one.why) for one in proof.some] == [
        ("bob", "not a wrapped key of a known layout"),
        ("carol", "the master key of this version is not configured"),
        ("dave", "the master key of this version is not configured"),
    ]
    assert (store.all["bob"], store.all["carol"]) == (spoilt, unknown)


def test_the_proof_does_not_go_by_what_a_row_says_of_its_master_key(store: Keys) -> None:
    rotate(store)
    store.all["bob"] = msgspec.structs.replace(Keyring(BEFORE).create("bob"), master="new")
    _, proof = rotate(store)
    assert (proof.opened, proof.left, proof.complete) == (5, 1, False)


def test_a_long_list_of_what_is_left_is_cut_short(store: Keys) -> None:
    for n in range(3 * NAMED):
        at_once(store.add(Keyring(MasterKeys({"lost": b"x" * 32})).create(f"user-{n}")))
    _, proof = rotate(store)
    assert (proof.left, len(proof.some)) == (3 * NAMED, NAMED)
