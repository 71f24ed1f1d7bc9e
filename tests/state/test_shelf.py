"""Whoever has the cache in hand learns nothing from it, and can show nothing but what was so a moment ago."""

import pytest

from chatd.errors import Unavailable
from chatd.security.keyring import MasterKeys
from chatd.state import shelf as module
from chatd.state.shelf import AHEAD_SECONDS, DAY_SECONDS
from tests.kit.at_once import at_once
from tests.kit.shelves import EPOCH, Shelves


@pytest.fixture
def shelves():
    return Shelves()


def get(shelf, *names, version=""):
    return {name: found.value for name, found in at_once(shelf.get(names, version)).items()}


def prepared(shelf):
    """It has looked once, as always before something is put."""
    get(shelf, "anything")
    return shelf


def put(shelf, version="", **values):
    prepared(shelf).put(values, shelf.now(), version)


def test_what_one_worker_put_another_finds(shelves):
    one, other = shelves.make(), shelves.make()
    put(one, alice="hello", bob="you")
    shelves.clock.advance(10)
    found = at_once(other.get(["bob", "carol", "alice"]))
    assert {name: (kept.value, kept.age) for name, kept in found.items()} == {
        "alice": ("hello", 10.0),
        "bob": ("you", 10.0),
    }
    assert (other.hits, other.misses, other.refusals) == (2, 1, 0)


def test_neither_names_nor_values_rest_in_the_cache(shelves):
    put(shelves.make(), alice="hello")
    [[name, value]] = shelves.cache.values.items()
    assert "alice" not in name
    assert b"hello" not in value
    assert b"alice" not in value


def test_another_installation_finds_nothing_under_its_own_keys(shelves):
    put(shelves.make(), alice="hello")
    theirs = Shelves(MasterKeys({"1": bytes(32)}))
    theirs.cache = shelves.cache
    assert get(theirs.make(), "alice") == {}


def test_what_was_put_before_a_backup_was_restored_is_not_found_afterwards(shelves):
    before, after = shelves.make(epoch="before"), shelves.make(epoch="after")
    put(before, "3 noon", alice="hello")
    assert get(before, "alice", version="3 noon") == {"alice": "hello"}
    assert get(after, "alice", version="3 noon") == {}
    put(after, "3 noon", alice="good evening")
    assert get(before, "alice", version="3 noon") == {}
    assert shelves.refused == []


def test_a_version_is_found_only_by_who_asks_for_it(shelves):
    shelf = shelves.make()
    put(shelf, "1", alice="old")
    assert get(shelf, "alice", version="2") == {}
    assert get(shelf, "alice", version="1") == {"alice": "old"}
    put(shelf, "2", alice="new")
    assert get(shelf, "alice", version="1") == {}
    assert shelves.refused == [], "that is nobody's fault"


def spoil(shelves, change):
    """Put something else in the place of every value."""
    for name, value in shelves.cache.values.items():
        shelves.cache.put(name, change(value), 1e6)


@pytest.mark.parametrize("at", [*range(16, 30), -1])
def test_a_value_with_a_bit_flipped_is_refused(shelves, at):
    shelf = shelves.make()
    put(shelf, alice="hello")
    spoil(shelves, lambda value: bytes(byte ^ (n == at % len(value)) for n, byte in enumerate(value)))
    assert get(shelf, "alice") == {}
    assert shelf.refusals == len(shelves.refused) == 1


def test_what_is_no_value_is_not_found(shelves):
    shelf = shelves.make()
    put(shelf, alice="hello")
    for garbage in (b"", b"x", b"\xff" * 100, b"\x00" * 15, b"x" * 100_000):
        spoil(shelves, lambda value, garbage=garbage: garbage)
        assert get(shelf, "alice") == {}
    spoil(shelves, lambda value: value[:16])
    assert get(shelf, "alice") == {}


def test_values_swapped_between_names_or_uses_are_refused(shelves):
    texts, notes = shelves.make(), shelves.make(use="notes")
    put(texts, alice="hers", bob="his")
    put(notes, alice="a note")
    values = shelves.cache.values
    for (name, _), other in zip(values.items(), [*values.values()][1:] + [*values.values()][:1], strict=True):
        shelves.cache.put(name, other, 60)
    assert get(texts, "alice", "bob") == get(notes, "alice") == {}
    assert texts.refusals + notes.refusals == 3


def test_an_old_value_put_back_is_believed_no_longer_than_a_fresh_one(shelves):
    shelf = shelves.make(seconds=60)
    put(shelf, alice="old")
    old = shelves.cache.values
    shelves.clock.advance(59)
    put(shelf, alice="new")
    for name, value in old.items():
        shelves.cache.put(name, value, 1e6)
    assert get(shelf, "alice") == {"alice": "old"}
    shelves.clock.advance(1)
    assert get(shelf, "alice") == {}


def test_the_time_of_a_value_cannot_be_changed(shelves):
    shelf = shelves.make(seconds=60)
    put(shelf, alice="old")
    shelves.clock.advance(100)
    now = round(shelf.now() * 1e6).to_bytes(8, "big")
    spoil(shelves, lambda value: now + value[8:])
    assert get(shelf, "alice") == {}
    assert shelf.refusals == 1


def test_a_version_cannot_be_changed(shelves):
    shelf = shelves.make()
    put(shelf, "1", alice="old")
    [[name, old]] = shelves.cache.values.items()
    put(shelf, "2", alice="new")
    new = shelves.cache.values[name]
    shelves.cache.put(name, old[:8] + new[8:16] + old[16:], 60)
    assert get(shelf, "alice", version="2") == {}
    assert shelf.refusals == 1


def test_what_was_forgotten_is_not_believed_even_where_the_cache_keeps_it(shelves):
    shelf = shelves.make()
    put(shelf, alice="old", bob="his")
    shelves.cache.loses = True
    shelf.forget(["alice"])
    assert get(shelf, "alice", "bob") == {"bob": "his"}
    shelves.clock.advance(AHEAD_SECONDS + 0.1)
    assert get(shelf, "alice") == {}
    put(shelf, alice="new")
    assert get(shelf, "alice") == {"alice": "new"}


def test_what_was_read_before_it_was_forgotten_is_not_put(shelves):
    shelf = prepared(shelves.make())
    as_of = shelf.now()
    shelves.clock.advance(1)
    shelf.forget(["alice"])
    shelf.put({"alice": "old"}, as_of)
    assert shelves.cache.values == {}


def test_what_another_machine_read_before_it_was_forgotten_is_not_believed_whatever_its_clock(shelves):
    shelf, fast = prepared(shelves.make()), shelves.make(ahead=AHEAD_SECONDS / 2)
    shelf.forget(["alice"])
    put(fast, alice="old")
    assert get(shelf, "alice") == {}


def test_who_forgets_has_all_others_find_nothing(shelves):
    one, other = prepared(shelves.make()), shelves.make()
    put(other, alice="old")
    one.forget(["alice"])
    assert get(other, "alice") == {}


def test_where_too_much_was_forgotten_everything_is_that_old(shelves, monkeypatch):
    monkeypatch.setattr(module, "MOST_FORGOTTEN", 2)
    shelf = shelves.make()
    put(shelf, dave="old")
    shelves.cache.loses = True
    shelf.forget(["alice", "bob", "carol"])
    assert get(shelf, "dave") == {}
    shelves.clock.advance(AHEAD_SECONDS + 1)
    put(shelf, dave="new")
    assert get(shelf, "dave") == {"dave": "new"}


def test_clocks_may_be_a_little_apart(shelves):
    fast, slow = shelves.make(ahead=AHEAD_SECONDS / 2), shelves.make(ahead=-AHEAD_SECONDS / 2)
    put(fast, alice="a")
    put(slow, bob="b")
    assert at_once(slow.get(["alice"]))["alice"].age == 0.0
    assert get(fast, "bob") == {"bob": "b"}
    put(shelves.make(ahead=3600.0), alice="from another time")
    assert get(slow, "alice") == {}


def test_what_was_so_long_ago_is_not_put(shelves):
    shelf = prepared(shelves.make(seconds=60))
    shelf.put({"alice": "late"}, shelf.now() - 60)
    assert shelves.cache.values == {}


def test_what_is_too_large_is_not_put(shelves):
    put(shelves.make(), alice="x" * 2000, bob="y")
    assert len(shelves.cache.values) == 1


def test_midnight_changes_nothing(shelves):
    """Values are sealed with a key of each day."""
    shelf = shelves.make(seconds=DAY_SECONDS)
    shelves.clock.advance(DAY_SECONDS - EPOCH % DAY_SECONDS - 1)
    put(shelf, alice="yesterday")
    shelves.clock.advance(2)
    put(shelf, bob="today")
    assert get(shelf, "alice", "bob") == {"alice": "yesterday", "bob": "today"}
    shelves.clock.advance(DAY_SECONDS * 3)
    put(shelf, bob="later")
    assert get(shelf, "alice", "bob") == {"bob": "later"}


def test_what_a_newer_version_of_chatd_put_otherwise_is_refused(shelves):
    put(shelves.make(int), alice=5)
    shelf = shelves.make(str)
    assert get(shelf, "alice") == {}
    assert shelf.refusals == 1


def test_without_its_key_nothing_is_found_and_nothing_put(shelves):
    shelf = shelves.make()

    async def away(users):
        raise Unavailable

    keys = shelves.keys
    shelf._authors._store = type("Away", (), {"keys": staticmethod(away)})()
    assert get(shelf, "alice") == {}
    shelf.put({"alice": "hello"}, shelf.now())
    shelf.forget(["alice"])
    assert shelves.cache.values == {}
    shelf._authors._store = keys
    shelves.clock.advance(AHEAD_SECONDS + 1)
    put(shelf, alice="hello")
    assert get(shelf, "alice") == {"alice": "hello"}
