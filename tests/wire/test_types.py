"""What may stand in a frame is settled by the types, and says the same in a JSON Schema as it does here."""

import json
import re
from typing import Any

import msgspec
import pytest

from chatd.handlers.catalogue import DECLARATIONS
from chatd.wire import types
from chatd.wire.session import Auth
from tests.kit.samples import TEXTS, frame_of, is_text, places, put

SHAPES = [*(declaration.shape for declaration in DECLARATIONS), Auth]


def taken(type: Any, value: Any) -> bool:
    try:
        msgspec.convert(value, type)
    except msgspec.ValidationError:
        return False
    return True


@pytest.mark.parametrize("shape", SHAPES, ids=lambda shape: shape.__struct_config__.tag)
def test_a_final_line_feed_is_refused_where_line_feeds_are(shape: type[msgspec.Struct]) -> None:
    """Python's ``$`` lets one through: a second name for the same conversation, user or device."""
    for path in places(shape, is_text):
        assert any(taken(shape, put(frame_of(shape), path, text)) for text in ("all", "member", "away", *TEXTS)), (
            "or this tests nothing"
        )
        for text in TEXTS:
            if not taken(shape, put(frame_of(shape), path, f"{text}\n{text[:1]}")):
                assert not taken(shape, put(frame_of(shape), path, f"{text}\n"))


@pytest.mark.parametrize(
    ("type", "yes", "no"),
    [
        (types.UserId, ["b", "bob@example.com", "名前", "a b", "x" * 255], ["", "x" * 256, "a\nb", "\x1f", "b\x7f"]),
        (types.DeviceId, ["phone", "A-Z.0_9", "x" * 64], ["", "x" * 65, "my phone", "téléphone", "a/b"]),
        (types.ClientId, ["1", "!~", "x" * 64], ["", "x" * 65, "a b", "é", "a\tb"]),
        (
            types.ConversationId,
            ["6b4d2f0e-8f5b-8c1d-9a53-0a8f5a3f1c2b"],
            [
                "",
                "6B4D2F0E-8F5B-8C1D-9A53-0A8F5A3F1C2B",
                "6b4d2f0e8f5b8c1d9a530a8f5a3f1c2b",
                " 6b4d2f0e-8f5b-8c1d-9a53",
            ],
        ),
        (types.Text, ["x", "\n", " ", "😀" * 10_000], ["", "\0", "a\0\n"]),
        (types.RequestId, [0, 2**53 - 1], [-1, 2**53]),
        (types.Seq, [0, 2**53 - 1], [-1, 2**53]),
        (types.Metadata, [{}, {"k" * 64: "v" * 1024}, {"k": ""}], [{"": "v"}, {"k" * 65: ""}, {"k": "v" * 1025}]),
    ],
)
def test_the_bounds_of_a_type(type: Any, yes: list[Any], no: list[Any]) -> None:
    assert [value for value in yes if not taken(type, value)] == []
    assert [value for value in no if taken(type, value)] == []


def test_metadata_has_at_most_sixteen_keys() -> None:
    assert taken(types.Metadata, {str(n): "" for n in range(16)})
    assert not taken(types.Metadata, {str(n): "" for n in range(17)})


def test_lengths_count_code_points() -> None:
    """Fault 49: neither bytes nor what looks like one character."""
    assert taken(types.UserId, "😀" * 255)
    assert not taken(types.UserId, "e\u0301" * 128)


def test_patterns_say_the_same_where_there_is_no_python() -> None:
    """The published schemas are read by ECMA-262 engines, which know neither ``\\Z`` nor ``(?s)``."""
    schemas = json.dumps([msgspec.json.schema(shape) for shape in SHAPES])
    patterns = set(re.findall(r'"pattern": ("(?:[^"\\]|\\.)*")', schemas))
    assert len(patterns) > 3
    for pattern in map(json.loads, patterns):
        assert pattern.startswith("^")
        assert pattern.rstrip(")").endswith(("$", r"$(?!\n"))
        assert not re.search(r"\\[AZz]|\(\?[a-zA-Z<]", pattern)


def test_the_examples_of_a_type_are_valid() -> None:
    for name, value in vars(types).items():
        if hasattr(value, "__metadata__"):
            for example in getattr(value.__metadata__[0], "examples", None) or ():
                assert taken(value, example), name
