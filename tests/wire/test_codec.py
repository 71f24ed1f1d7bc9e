"""Faults 41 to 47: whatever a frame holds, it is a command or it is refused by name. Both subprotocols, all commands.

What is tested here is drawn from the declarations, so that a new command is held to it without a new test.
"""

from collections.abc import Iterable
from itertools import product
from typing import Any

import msgspec
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from chatd.handlers.catalogue import DECLARATIONS
from chatd.router import command_union
from chatd.wire.codec import BadFrame
from chatd.wire.session import Auth
from tests.kit.samples import Path, frame_of, is_list, is_number, is_text, places, put
from tests.kit.written import JsonWriting, MsgpackWriting, RawJsonWriting, Writing

SHAPES = [*(declaration.shape for declaration in DECLARATIONS), Auth]
COMMANDS = command_union(DECLARATIONS)
WRITINGS: list[Writing] = [JsonWriting(COMMANDS), RawJsonWriting(COMMANDS), MsgpackWriting(COMMANDS)]
JSON, RAW_JSON, MSGPACK = WRITINGS
ID = 7
DEEP = 100_000

every_writing = pytest.mark.parametrize("writing", WRITINGS, ids=lambda writing: type(writing).__name__)
every_shape = pytest.mark.parametrize("shape", SHAPES, ids=lambda shape: shape.__struct_config__.tag)


def frame(shape: type[msgspec.Struct]) -> dict[str, Any]:
    return frame_of(shape) | {"id": ID}


def refused(writing: Writing, payload: bytes) -> BadFrame:
    with pytest.raises(BadFrame) as caught:
        writing.codec.decode(payload)
    error = caught.value.error
    assert error.status == 400
    assert error.code in ("invalid", "malformed")
    return caught.value


def refused_naming(writing: Writing, name: str, payload: bytes) -> None:
    """It is refused as invalid in a text that names the field, and answers the id that it shows."""
    bad = refused(writing, payload)
    assert (bad.error.code, bad.id) == ("invalid", ID)
    assert f"`{name}" in bad.error.detail


def texts(shape: type[msgspec.Struct]) -> Iterable[Path]:
    """Places of texts, those that have a name to be refused by."""
    return places(shape, is_text)


@every_writing
@every_shape
def test_a_frame_with_all_fields_is_the_command(writing: Writing, shape: type[msgspec.Struct]) -> None:
    written = frame(shape)
    command = writing.codec.decode(writing.write(written))
    assert type(command) is shape
    assert msgspec.to_builtins(command) == written


@every_writing
@every_shape
def test_a_missing_field_is_named(writing: Writing, shape: type[msgspec.Struct]) -> None:
    for field in msgspec.structs.fields(shape):
        written = frame(shape)
        del written[field.encode_name]
        if not field.required:
            assert type(writing.codec.decode(writing.write(written))) is shape
        elif field.name == "id":
            bad = refused(writing, writing.write(written))
            assert bad.id is None
            assert "`id`" in bad.error.detail
        else:
            refused_naming(writing, field.encode_name, writing.write(written))


@every_writing
@every_shape
def test_an_unknown_field_is_named(writing: Writing, shape: type[msgspec.Struct]) -> None:
    for value in (None, 1, "x", {"a": [1]}):
        refused_naming(writing, "colour", writing.write(frame(shape) | {"colour": value}))


@every_writing
@every_shape
def test_a_value_of_the_wrong_type_is_named(writing: Writing, shape: type[msgspec.Struct]) -> None:
    for field in msgspec.structs.fields(shape):
        if field.name == "id":
            continue
        lists = () if is_list(field.type) else ([],)
        others = ("true", 1) if field.type is bool else (True,)
        for value in (*lists, *others, [1], 1.5):
            refused_naming(writing, field.encode_name, writing.write(frame(shape) | {field.encode_name: value}))
    for path in texts(shape):
        if path[-1] != "key":
            refused_naming(writing, path[0], writing.write(put(frame(shape), path, 5)))
    for path in places(shape, is_number):
        if path[-1] != "id":
            refused_naming(writing, path[0], writing.write(put(frame(shape), path, "5")))


@every_writing
@every_shape
def test_nul_is_refused_in_every_text(writing: Writing, shape: type[msgspec.Struct]) -> None:
    """Fault 41: PostgreSQL's text cannot hold it, so it stops here, wherever it stands."""
    for path, text in product(texts(shape), ("\0", "x\0", "\0x", "6b4d2f0e-8f5b-8c1d-9a53-0a8f5a3f1c2b\0")):
        refused_naming(writing, path[0], writing.write(put(frame(shape), path, text)))


@every_writing
@every_shape
def test_lone_surrogates_are_refused_in_every_text(writing: Writing, shape: type[msgspec.Struct]) -> None:
    """Fault 42: no UTF-8 says them."""
    for text in ("\ud800", "x\udfffx", "\udc00\ud800", "\ud83d ", "\ud800\ud800\udc00"):
        for path in texts(shape):
            refused(writing, writing.write(put(frame(shape), path, text)))
        refused(writing, writing.write(frame(shape) | {text: 1}))
        refused(writing, writing.write(frame(shape) | {"type": text}))


@every_writing
def test_pairs_of_surrogates_are_the_character_that_they_write(writing: Writing) -> None:
    written = {"id": 1, "type": "message.send", "client_id": "c", "to": "b😀b", "text": "😀", "metadata": {"😀": "😀"}}
    command = writing.codec.decode(writing.write(written))
    assert (command.to, command.text, command.metadata) == ("b😀b", "😀", {"😀": "😀"})


@every_writing
@every_shape
def test_depth_is_refused_wherever_it_stands(writing: Writing, shape: type[msgspec.Struct]) -> None:
    """Fault 43."""
    deep = writing.nested(DEEP)
    refused(writing, deep)
    mark = "8c0b6f1e"
    for name in (*frame(shape), "colour"):
        with_mark = writing.write({"id": ID, "type": frame(shape)["type"]} | {name: mark})
        refused(writing, with_mark.replace(writing.write(mark), deep))


@every_writing
@every_shape
def test_of_a_key_that_stands_twice_the_last_counts(writing: Writing, shape: type[msgspec.Struct]) -> None:
    """Fault 44."""
    pairs = list(frame(shape).items())
    command = writing.codec.decode(writing.object([("id", 1), *pairs, ("id", 2), *pairs, ("id", 3)]))
    assert msgspec.to_builtins(command) == frame(shape) | {"id": 3}


@every_writing
def test_of_a_key_that_stands_twice_in_a_mapping_the_last_counts(writing: Writing) -> None:
    send = {"id": ID, "type": "message.send", "client_id": "c", "to": "bob", "text": "hello", "metadata": 5}
    twice = writing.object([("a", "1"), ("b", "2"), ("a", "3")])
    command = writing.codec.decode(writing.write(send).replace(writing.write(5), twice))
    assert command.metadata == {"a": "3", "b": "2"}


@every_writing
def test_two_types_in_one_frame_are_refused(writing: Writing) -> None:
    refused_naming(writing, "type", writing.object([("type", "ping"), ("id", ID), ("type", "sync")]))


@every_writing
@every_shape
def test_numbers_are_integers(writing: Writing, shape: type[msgspec.Struct]) -> None:
    """Fault 45."""
    numbers = (float("nan"), float("inf"), -float("inf"), 1.5, 1e300)
    for path, number in product([*texts(shape), *places(shape, is_number)], numbers):
        if path[-1] != "key":
            refused(writing, writing.write(put(frame(shape), path, number)))


@every_shape
def test_odd_ways_to_write_numbers_are_refused(shape: type[msgspec.Struct]) -> None:
    odd = (b"1e400", b"-1e400", b"1e3", b"5.0", b"NaN", b"Infinity", b"+1", b"01", b"0x1")
    for path, number in product(places(shape, is_number), odd):
        refused(JSON, JSON.write(put(frame(shape), path, 987654321)).replace(b"987654321", number))


@every_writing
@every_shape
def test_integers_beyond_what_every_reader_keeps_are_named(writing: Writing, shape: type[msgspec.Struct]) -> None:
    """Fault 46."""
    for path, number in product(places(shape, is_number), (-1, -(2**63), 2**53, 2**63 - 1, 2**63, 2**64 - 1)):
        bad = refused(writing, writing.write(put(frame(shape), path, number)))
        assert bad.error.code == "invalid"
        assert f"`{path[0]}" in bad.error.detail
        assert bad.id == (number if path == ("id",) else ID)


@every_shape
def test_integers_of_many_digits_are_refused(shape: type[msgspec.Struct]) -> None:
    for path, digits in product(places(shape, is_number), (20, 400, 5_000)):
        written = JSON.write(put(frame(shape), path, 987654321)).replace(b"987654321", b"9" * digits)
        bad = refused(JSON, written)
        JSON.codec.encode_error(bad.id, bad.error)


@every_writing
@pytest.mark.parametrize("value", [None, True, 1, 1.5, "text", [], [{"id": 1, "type": "ping"}], {}])
def test_a_frame_is_one_object_that_says_its_type(writing: Writing, value: Any) -> None:
    assert refused(writing, writing.write(value)).id is None


@every_writing
@pytest.mark.parametrize("type", [None, 5, "", "no.such", "Ping", "ping ", ["ping"], {}])
def test_a_type_that_is_none_is_named_and_answered(writing: Writing, type: Any) -> None:
    refused_naming(writing, "type", writing.write({"id": ID, "type": type}))
    refused_naming(writing, "type", writing.write({"type": type, "id": ID}))


@every_writing
def test_a_frame_without_a_type_is_answered(writing: Writing) -> None:
    refused_naming(writing, "type", writing.write({"id": ID}))


@pytest.mark.parametrize(
    "payload",
    [b"", b" ", b"{", b"{}{}", b'{"id":7,"type":"ping"}x', b'{"id":7,"type":"ping",}', b"\xef\xbb\xbf{}", b"\xff\xfe"],
)
def test_what_is_not_json_is_malformed_or_invalid(payload: bytes) -> None:
    refused(JSON, payload)


@pytest.mark.parametrize(
    "payload",
    [
        b"",
        b"\xc1",
        b"\xdf\xff\xff\xff\xff",
        b"\xdb\xff\xff\xff\xff",
        MSGPACK.write({"id": 1, "type": "ping"}) + b"\x00",
        MSGPACK.write({"id": 1, "type": "ping"})[:-1],
        MSGPACK.object([("id", 1), ("type", "ping")]).replace(b"\xdb\x00\x00\x00\x02id", b"\x01"),
        b"\x82\xa2id\x01\xa4type\xc4\x04ping",
        b"\x82\xa2id\xd6\xff\x00\x00\x00\x00\xa4type\xa4ping",
    ],
)
def test_what_is_not_a_map_of_texts_is_malformed_or_invalid(payload: bytes) -> None:
    """Truncated, with a length that is none, trailing bytes, integer keys, binary text, extension types."""
    refused(MSGPACK, payload)


@settings(deadline=None)
@given(payload=st.binary(max_size=200))
def test_no_bytes_at_all_do_anything_but_decode_or_be_refused(payload: bytes) -> None:
    for writing in WRITINGS:
        decode_or_refuse(writing, payload)


@settings(deadline=None)
@given(
    writing=st.sampled_from(WRITINGS),
    shape=st.sampled_from(SHAPES),
    at=st.integers(0, 300),
    length=st.integers(0, 5),
    instead=st.binary(max_size=6),
)
def test_no_damage_to_a_command_does_anything_but_decode_or_be_refused(
    writing: Writing, shape: type[msgspec.Struct], at: int, length: int, instead: bytes
) -> None:
    payload = writing.write(frame(shape))
    at = at % len(payload)
    decode_or_refuse(writing, payload[:at] + instead + payload[at + length :])


def decode_or_refuse(writing: Writing, payload: bytes) -> None:
    """A command comes out whole or an error reply can be made; both hold only what the types allow."""
    try:
        command = writing.codec.decode(payload)
    except BadFrame as bad:
        writing.codec.encode_error(bad.id, bad.error)
    else:
        assert msgspec.convert(msgspec.to_builtins(command), type(command)) == command


@settings(deadline=None)
@given(text=st.text(st.characters(exclude_categories=("Cs",), exclude_characters="\0"), min_size=1))
@example("e\u0301\u202e\u200d\ufeff\uffff\U0010ffff \t\r\n")
def test_any_other_text_is_kept_as_it_was_given(text: str) -> None:
    """Faults 48 and 49: combining, bidirectional and joined characters too."""
    written = {"id": ID, "type": "message.send", "client_id": "c", "to": "bob", "text": text}
    for writing in WRITINGS:
        assert writing.codec.decode(writing.write(written)).text == text
