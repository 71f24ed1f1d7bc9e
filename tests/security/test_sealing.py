"""A sealed body opens for its author, its conversation and its client_id, and for nothing else."""

import hashlib
import hmac

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chatd.security.sealing import DIGEST_BYTES, KEY_BYTES, OVERHEAD, AuthorKey, Unreadable

DATA_KEY = bytes(range(KEY_BYTES))
ALICE = AuthorKey("alice", DATA_KEY)
TEXT = st.text("ab1:\0 é😀", max_size=6)


@given(plaintext=st.binary(max_size=300), author=TEXT, conversation=TEXT, client_id=TEXT)
def test_any_bytes_come_back_as_they_were(plaintext: bytes, author: str, conversation: str, client_id: str) -> None:
    key = AuthorKey(author, DATA_KEY)
    sealed = key.seal(plaintext, conversation, client_id)
    assert len(sealed) == len(plaintext) + OVERHEAD
    assert key.unseal(sealed, conversation, client_id) == plaintext


@given(plaintext=st.binary(max_size=60), place=st.integers(min_value=0), change=st.integers(1, 255))
def test_a_change_of_any_byte_is_detected(plaintext: bytes, place: int, change: int) -> None:
    sealed = bytearray(ALICE.seal(plaintext, "c", "1"))
    sealed[place % len(sealed)] ^= change
    with pytest.raises(Unreadable):
        ALICE.unseal(bytes(sealed), "c", "1")


def test_a_flip_of_any_single_bit_is_detected() -> None:
    sealed = ALICE.seal(b"hello", "c", "1")
    for bit in range(len(sealed) * 8):
        changed = bytearray(sealed)
        changed[bit // 8] ^= 1 << bit % 8
        with pytest.raises(Unreadable):
            ALICE.unseal(bytes(changed), "c", "1")


@given(plaintext=st.binary(max_size=40), cut=st.integers(min_value=0), more=st.binary(min_size=1, max_size=20))
def test_a_body_cut_short_or_made_longer_is_detected(plaintext: bytes, cut: int, more: bytes) -> None:
    sealed = ALICE.seal(plaintext, "c", "1")
    for changed in (sealed[: cut % len(sealed)], sealed + more, more + sealed):
        with pytest.raises(Unreadable):
            ALICE.unseal(changed, "c", "1")


@given(
    sealed_at=st.tuples(TEXT, TEXT, TEXT),
    read_at=st.tuples(TEXT, TEXT, TEXT),
    plaintext=st.binary(max_size=20),
)
def test_a_row_moved_anywhere_else_does_not_open(
    sealed_at: tuple[str, str, str], read_at: tuple[str, str, str], plaintext: bytes
) -> None:
    (author, *place), (other_author, *other_place) = sealed_at, read_at
    sealed = AuthorKey(author, DATA_KEY).seal(plaintext, *place)
    reader = AuthorKey(other_author, DATA_KEY)
    if sealed_at == read_at:
        assert reader.unseal(sealed, *other_place) == plaintext
    else:
        with pytest.raises(Unreadable):
            reader.unseal(sealed, *other_place)


@pytest.mark.parametrize(
    ("author", "conversation", "client_id"),
    [
        ("bob", "conv", "id"),
        ("alice", "conv2", "id"),
        ("alice", "conv", "id2"),
        ("alice", "con", "vid"),
        ("alice", "convi", "d"),
        ("alicec", "onv", "id"),
        ("alic", "econv", "id"),
        ("alice", "id", "conv"),
        ("alice4:conv2:", "", "id"),
        ("alice", "conv2:id", ""),
    ],
)
def test_shifting_characters_between_the_parts_of_the_place_is_detected(
    author: str, conversation: str, client_id: str
) -> None:
    sealed = ALICE.seal(b"hello", "conv", "id")
    with pytest.raises(Unreadable):
        AuthorKey(author, DATA_KEY).unseal(sealed, conversation, client_id)


def test_another_key_of_the_same_author_does_not_open_a_body() -> None:
    sealed = ALICE.seal(b"hello", "c", "1")
    with pytest.raises(Unreadable):
        AuthorKey("alice", DATA_KEY[::-1]).unseal(sealed, "c", "1")


def test_the_same_body_is_never_sealed_the_same_way_twice() -> None:
    assert len({ALICE.seal(b"hello", "c", "1") for _ in range(1000)}) == 1000


def test_the_nonce_is_what_the_random_source_gave() -> None:
    asked: list[int] = []

    def random(size: int) -> bytes:
        asked.append(size)
        return b"n" * size

    sealed = AuthorKey("alice", DATA_KEY, random).seal(b"hello", "c", "1")
    assert sealed[:13] == b"\x01" + b"n" * 12
    assert asked == [12]


def test_what_was_sealed_by_an_earlier_release_still_opens() -> None:
    sealed = bytes.fromhex("01000102030405060708090a0bedfaa46055835d3a5d9a5c3f9e1b305a719df4ce9d21a9")
    assert ALICE.unseal(sealed, "0b1c8f5e-0000-8000-8000-000000000001", "client-1") == "Grüße".encode()
    assert ALICE.digest("Grüße".encode()).hex() == "5cc59910d3ee68771ea1f464c97ade4c"


@given(one=st.binary(max_size=200), other=st.binary(max_size=200))
def test_digests_are_equal_for_equal_content_alone(one: bytes, other: bytes) -> None:
    again = AuthorKey("alice", DATA_KEY)
    assert ALICE.digest(one) == again.digest(one)
    assert len(ALICE.digest(one)) == DIGEST_BYTES
    assert (ALICE.digest(one) == ALICE.digest(other)) == (one == other)


def test_a_digest_cannot_be_found_without_the_authors_key() -> None:
    digest = ALICE.digest(b"yes")
    guesses = {
        hashlib.sha256(b"yes").digest()[:16],
        hmac.digest(b"", b"yes", "sha256")[:16],
        hmac.digest(DATA_KEY, b"yes", "sha256")[:16],
        AuthorKey("alice", DATA_KEY[::-1]).digest(b"yes"),
    }
    assert digest not in guesses


@pytest.mark.parametrize("size", [0, 16, 24, 31, 33])
def test_a_data_key_of_another_size_is_refused(size: int) -> None:
    with pytest.raises(ValueError, match="32 bytes"):
        AuthorKey("alice", bytes(size))


def test_neither_plaintext_nor_key_shows_in_errors_or_repr() -> None:
    sealed = ALICE.seal(b"SECRET", "c", "1")
    with pytest.raises(Unreadable) as caught:
        ALICE.unseal(sealed, "c", "2")
    for text in (repr(caught.value), str(caught.value), repr(ALICE)):
        assert "SECRET" not in text
        assert repr(DATA_KEY)[2:10] not in text
    assert caught.value.__cause__ is None
