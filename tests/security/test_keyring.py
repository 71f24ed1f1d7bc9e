"""Master keys are read from one text, and wrap data keys that nobody else can open."""

import base64
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from chatd.records.keys import WrappedKey
from chatd.security.keyring import Keyring, MasterKeyError, MasterKeys
from chatd.security.sealing import Unreadable

OLD, NEW = bytes(range(32)), b"\xfb\xff" + bytes(range(100, 130))
OLD_LINE = f"2025-11:{OLD.hex()}"
NEW_LINE = f"2026-04:{base64.b64encode(NEW).decode()}"


def counting() -> Callable[[int], bytes]:
    """A source of bytes that differ at each call."""
    calls = iter(range(1, 200))
    return lambda size: bytes([next(calls)]) * size


def keyring(*lines: str) -> Keyring:
    return Keyring(MasterKeys.parse("\n".join(lines)))


def opens_alike(one: Keyring, first: WrappedKey, other: Keyring, second: WrappedKey) -> bool:
    """Whether two wrapped keys hold the same data key."""
    sealed = one.open(first).seal(b"hello", "c", "1")
    return other.open(second).unseal(sealed, "c", "1") == b"hello"


def test_a_new_key_opens_for_its_user() -> None:
    ring = keyring(OLD_LINE)
    wrapped = ring.create("alice")
    assert (wrapped.user, wrapped.master, len(wrapped.wrapped)) == ("alice", "2025-11", 61)
    assert ring.open(wrapped).author == "alice"
    assert opens_alike(ring, wrapped, keyring(OLD_LINE), wrapped)


def test_every_key_is_another_one() -> None:
    ring = keyring(OLD_LINE)
    sealed = ring.open(ring.create("alice")).seal(b"hello", "c", "1")
    with pytest.raises(Unreadable):
        ring.open(ring.create("alice")).unseal(sealed, "c", "1")


def test_the_last_line_wraps_new_keys_and_the_others_still_open_theirs() -> None:
    before, after = keyring(OLD_LINE), keyring(OLD_LINE, NEW_LINE)
    wrapped = before.create("alice")
    assert after.create("bob").master == "2026-04"
    assert opens_alike(before, wrapped, after, wrapped)


def test_a_rewrapped_key_needs_the_new_master_key_alone() -> None:
    before, both, after = keyring(OLD_LINE), keyring(OLD_LINE, NEW_LINE), keyring(NEW_LINE)
    wrapped = before.create("alice")
    rewrapped = both.rewrap(wrapped)
    assert (rewrapped.user, rewrapped.master) == ("alice", "2026-04")
    assert opens_alike(before, wrapped, after, rewrapped)


def test_a_key_of_a_master_key_that_was_removed_is_unreadable() -> None:
    wrapped = keyring(OLD_LINE).create("alice")
    ring = keyring(NEW_LINE)
    for attempt in (ring.open, ring.rewrap):
        with pytest.raises(Unreadable, match="not configured"):
            attempt(wrapped)


def test_a_key_of_another_user_or_master_key_is_unreadable() -> None:
    ring = keyring(OLD_LINE, NEW_LINE)
    wrapped = ring.create("alice")
    renamed = keyring(f"2026-04:{OLD.hex()}")
    for holder, row in (
        (ring, replace(wrapped, user="bob")),
        (ring, replace(wrapped, master="2025-11")),
        (renamed, wrapped),
    ):
        with pytest.raises(Unreadable):
            holder.open(row)


def test_a_key_that_was_wrapped_under_one_version_does_not_pass_for_another_with_the_same_secret() -> None:
    wrapped = keyring(f"a:{OLD.hex()}").create("alice")
    with pytest.raises(Unreadable):
        keyring(f"b:{OLD.hex()}").open(replace(wrapped, master="b"))


def test_a_flip_of_any_single_bit_of_a_wrapped_key_is_detected() -> None:
    ring = keyring(OLD_LINE)
    wrapped = ring.create("alice")
    for bit in range(len(wrapped.wrapped) * 8):
        changed = bytearray(wrapped.wrapped)
        changed[bit // 8] ^= 1 << bit % 8
        with pytest.raises(Unreadable):
            ring.open(replace(wrapped, wrapped=bytes(changed)))


@pytest.mark.parametrize("change", [lambda w: b"", lambda w: w[:-1], lambda w: w + b"\0", lambda w: w[:1]])
def test_a_wrapped_key_of_another_length_is_unreadable(change: Callable[[bytes], bytes]) -> None:
    ring = keyring(OLD_LINE)
    wrapped = ring.create("alice")
    with pytest.raises(Unreadable, match="layout"):
        ring.open(replace(wrapped, wrapped=change(wrapped.wrapped)))


def test_keys_and_nonces_come_from_the_random_source() -> None:
    masters = MasterKeys.parse(OLD_LINE)
    wrapped = Keyring(masters, counting()).create("alice")
    assert wrapped == Keyring(masters, counting()).create("alice")
    assert wrapped.wrapped[:13] == b"\x01" + b"\x02" * 12


def test_keys_for_other_purposes_come_from_the_current_master_key_alone() -> None:
    first, second = bytes(32), bytes(range(32))
    both, only = MasterKeys({"1": first, "2": second}), MasterKeys({"2": second})
    assert both.derive(b"limits") == only.derive(b"limits") != second
    assert both.derive(b"limits") != both.derive(b"other")
    assert MasterKeys({"1": first}).derive(b"limits") != both.derive(b"limits")


def test_what_was_wrapped_by_an_earlier_release_still_opens() -> None:
    wrapped = WrappedKey(
        user="Zoë",
        master="2025-11",
        wrapped=bytes.fromhex(
            "010202020202020202020202029a2918bab8d8305aca84a3f93278db121de8ae6d955579f0435fd002766a48c36faeace99d3b03d9a589610bce5ce48f"
        ),
    )
    assert keyring(OLD_LINE).open(wrapped).digest(b"hello").hex() == "45336dc1221de66bb5f04a1fdb50cd56"


@pytest.mark.parametrize(
    "encoded",
    [
        NEW.hex(),
        NEW.hex().upper(),
        base64.b64encode(NEW).decode(),
        base64.urlsafe_b64encode(NEW).decode(),
        base64.urlsafe_b64encode(NEW).decode().rstrip("="),
    ],
)
def test_a_master_key_is_written_in_hex_or_base64(encoded: str) -> None:
    wrapped = keyring(f"k:{NEW.hex()}").create("alice")
    assert keyring(f"k:{encoded}").open(wrapped).author == "alice"


def test_comments_blank_lines_white_space_and_foreign_line_ends_do_not_matter() -> None:
    masters = MasterKeys.parse(f"# ours\r\n\r\n  {OLD_LINE} \r\n\t\n2026-04 : {NEW.hex()}\n# 2027:{OLD.hex()}\n")
    assert masters.current == "2026-04"
    assert masters.cipher("2025-11") is not masters.cipher("2026-04")


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("", "at least one master key"),
        ("# nothing\n\n", "at least one master key"),
        (OLD.hex(), "line 1 must be version:key"),
        (f":{OLD.hex()}", "line 1 must be version:key"),
        ("1:", "line 1 must be version:key"),
        (f"{OLD_LINE}\n\n2:{OLD.hex()[1:]}", "line 3 must be version:key"),
        (f"1:{OLD.hex()}00", "line 1 must be version:key"),
        (f"1:{base64.b64encode(OLD[1:]).decode()}", "line 1 must be version:key"),
        (f"1:{base64.b64encode(OLD + OLD).decode()}", "line 1 must be version:key"),
        (f"1:{base64.b64encode(OLD).decode()}=", "line 1 must be version:key"),
        ("1:" + "A" * 42 + "B", "line 1 must be version:key"),
        ("1:" + "A" * 42 + "ä", "line 1 must be version:key"),
        ("1:" + "A" * 42 + " A", "line 1 must be version:key"),
        ("1:" + "٣" * 64, "line 1 must be version:key"),
        (f"1 {OLD.hex()}", "line 1 must be version:key"),
        (f"a b:{OLD.hex()}", "line 1 must be version:key"),
        (f"{'v' * 33}:{OLD.hex()}", "line 1 must be version:key"),
        (f"v\x00:{OLD.hex()}", "line 1 must be version:key"),
        (f"{OLD_LINE}\n2025-11:{NEW.hex()}", "line 2 must have a version of its own"),
        (f"{OLD_LINE}\nother:{OLD.hex()}", "line 2 must have a key of its own"),
    ],
)
def test_a_text_that_does_not_hold_is_refused_in_one_line_that_quotes_no_key(text: str, told: str) -> None:
    with pytest.raises(MasterKeyError) as caught:
        MasterKeys.parse(text)
    message = str(caught.value)
    assert told in message
    assert "\n" not in message
    assert caught.value.__context__ is None
    for secret in (OLD, NEW):
        assert secret.hex()[:8] not in message
        assert base64.b64encode(secret).decode()[:8] not in message


def problem_of(text: str) -> str:
    """What is told about a text of master keys; nothing if it is read."""
    try:
        MasterKeys.parse(text)
    except MasterKeyError as error:
        return str(error)
    return ""


@given(st.text("aZ09+/_-=.:# \n\r\0é٣", max_size=80))
def test_any_text_is_read_or_refused_in_one_line(text: str) -> None:
    for whole in (text, f"1:{text}", f"{text}:{OLD.hex()}"):
        assert "\n" not in problem_of(whole)


def test_a_generated_line_is_read_back() -> None:
    line = MasterKeys.generate_line("2026-04")
    assert MasterKeys.parse(line).current == "2026-04"
    assert line != MasterKeys.generate_line("2026-04")
    assert MasterKeys.generate_line("v", lambda size: b"\xfb" * size) == "v:" + "-_v7" * 10 + "-_s"


@pytest.mark.parametrize("version", ["", "a:b", "a b", "a\n", "#1", "v" * 33])
def test_no_line_is_generated_for_a_version_that_could_not_be_read_back(version: str) -> None:
    with pytest.raises(MasterKeyError, match="version must be"):
        MasterKeys.generate_line(version)


def test_a_master_key_of_another_size_is_refused() -> None:
    with pytest.raises(MasterKeyError, match="32 bytes"):
        MasterKeys({"1": OLD[:16]})


def test_no_key_shows_in_repr() -> None:
    masters = MasterKeys({"1": OLD})
    for text in (repr(masters), repr(Keyring(masters))):
        assert repr(OLD)[2:10] not in text


def test_the_current_master_key_alone_opens_only_what_it_wrapped() -> None:
    masters = MasterKeys({"1": bytes(range(32)), "2": bytes(range(1, 33))})
    assert masters.versions == ("1", "2")
    alone = masters.alone()
    assert (alone.versions, alone.current, masters.versions) == (("2",), "2", ("1", "2"))
    old = Keyring(MasterKeys({"1": bytes(range(32))})).create("alice")
    Keyring(masters).open(old)
    with pytest.raises(Unreadable, match="not configured"):
        Keyring(alone).open(old)
    Keyring(alone).open(Keyring(masters).rewrap(old))
