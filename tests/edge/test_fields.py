"""Every field of every command refuses what its type does not hold, in the same words whichever way it came.

The cases are made from the declarations, so that a new command is covered by being declared.
"""

import json
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

import msgspec
import pytest
from msgspec.inspect import (
    BoolType,
    DateTimeType,
    DictType,
    IntType,
    ListType,
    LiteralType,
    Metadata,
    NoneType,
    StrType,
    StructType,
    Type,
    UnionType,
    type_info,
)

from chatd.edge.schemas import example_fields
from chatd.errors import PeerError
from chatd.handlers.catalogue import DECLARATIONS
from chatd.router import command_union
from chatd.wire.codec import BadFrame, Codec, JsonCodec, MsgpackCodec
from chatd.wire.commands import Declaration
from tests.kit.visitor import UNLIMITED, Answer, World, settings

DEEP = "[" * 5000 + "]" * 5000
NOT_UNICODE = r'"\ud800"'
NO_JSON = ("NaN", "Infinity", NOT_UNICODE)
"""What is refused before any field is looked at: then none is named."""

JSON_CODEC = JsonCodec(command_union(DECLARATIONS))
MSGPACK_CODEC = MsgpackCodec(command_union(DECLARATIONS))


@dataclass(frozen=True)
class Case:
    """A value, as JSON, that one field of one command does not take."""

    declaration: Declaration
    field: str
    value: str

    @property
    def others(self) -> dict[str, Any]:
        return {name: value for name, value in example_fields(self.declaration).items() if name != self.field}

    @property
    def in_path(self) -> bool:
        return f"{{{self.field}}}" in self.declaration.route.path

    @property
    def name(self) -> str:
        return f"{self.declaration.name}-{self.field}-{self.value[:24]}"


def refused_by(type: Type) -> Iterator[str]:
    """Values, as JSON, that a type must not hold."""
    if isinstance(type, Metadata):
        yield from refused_by(type.type)
    elif isinstance(type, UnionType):
        members = [member for member in type.types if not isinstance(member, NoneType)]
        assert len(members) == 1, "what several types hold together is not known here"
        yield from (value for value in refused_by(members[0]) if value != "null")
    elif isinstance(type, StrType):
        yield from refused_texts(type)
    elif isinstance(type, IntType):
        yield from refused_integers(type)
    elif isinstance(type, DateTimeType):
        yield from ("null", "1", "1.5", "true", "[]", "{}", DEEP, NOT_UNICODE, '"x"', '"2026-01-01"')
        yield from ('"2026-01-01T00:00:00"', '"2026-02-30T00:00:00Z"', '"2026-01-01T24:00:00Z"')
        yield from ('"noon"', '"2030-13-01T12:00:00Z"', '"10000-01-01T12:00:00Z"')
    elif isinstance(type, LiteralType):
        yield from ('"none of them"', "null", "1", "[]", DEEP)
    elif isinstance(type, DictType):
        yield from refused_objects(type)
    elif isinstance(type, ListType):
        yield from ("null", "{}", "1", '"x"', *(f"[{item}]" for item in refused_by(type.item_type)))
    elif isinstance(type, BoolType):
        yield from ("null", '"x"', "1", "0", "1.5", "[]", "{}", DEEP, NOT_UNICODE)
    elif isinstance(type, StructType):
        yield from ("null", "[]", "1", '"x"', DEEP, '{"unknown": 1}')
        for field in type.fields:
            yield from (f'{{"{field.encode_name}": {value}}}' for value in refused_by(field.type))
    else:
        raise AssertionError(f"say what {type} must refuse")


def refused_texts(type: StrType) -> Iterator[str]:
    yield from ("null", "1", "1.5", "true", "[]", "{}", "9" * 400, DEEP, NOT_UNICODE)
    yield from (r'"\u0000"', r'"a\u0000b"')
    if type.min_length:
        yield '""'
    if type.max_length is not None:
        yield json.dumps("x" * (type.max_length + 1))
    if type.pattern is not None and not re.search(type.pattern, "a\nb"):
        yield from (json.dumps(valid_text(type) + "\n"), '"\\n"')


def valid_text(type: StrType) -> str:
    """A text that the type holds, if it is one of those that are known here."""
    known = ("6b4d2f0e-8f5b-8c1d-9a53-0a8f5a3f1c2b", "x", "https://example.com/x")
    return next(text for text in known if re.search(type.pattern or "", text))


def refused_integers(type: IntType) -> Iterator[str]:
    yield from ("null", '"5"', "1.5", "1e2", "1e400", "true", "[]", "{}", "NaN", "Infinity", DEEP)
    yield from (str(2**53), str(2**63), str(2**64), str(10**30), "-" + str(10**30), "9" * 5000)
    if type.ge is not None:
        yield str(type.ge - 1)
    if type.le is not None:
        yield str(type.le + 1)


def refused_objects(type: DictType) -> Iterator[str]:
    yield from ("null", "[]", "1", '"x"', DEEP)
    text = type.key_type.type if isinstance(type.key_type, Metadata) else type.key_type
    assert isinstance(text, StrType)
    key = json.dumps(valid_text(text))
    yield from (f"{{{key}: {value}}}" for value in refused_by(type.value_type))
    value = "1" if "IntType" in str(type.value_type) else '"x"'
    yield from (f"{{{refused}: {value}}}" for refused in refused_texts(text) if refused.startswith('"'))


def fields() -> Iterator[tuple[str, list[Case]]]:
    """Every field of every command by its name, with what it refuses."""
    for declaration in DECLARATIONS:
        for field in msgspec.structs.fields(declaration.shape):
            if field.name != "id":
                refused = dict.fromkeys(refused_by(type_info(field.type)))
                yield f"{declaration.name}-{field.name}", [Case(declaration, field.name, value) for value in refused]


FIELDS = dict(fields())


def every_field(concerned: Callable[[Case], bool]) -> pytest.MarkDecorator:
    """Of each field the cases that concern a test; hundreds of tests are run sooner than thousands."""
    chosen = {name: [case for case in cases if concerned(case)] for name, cases in FIELDS.items()}
    named = {name: cases for name, cases in chosen.items() if cases}
    return pytest.mark.parametrize("cases", named.values(), ids=named.keys())


@pytest.fixture(scope="module")
def one_world() -> World:
    """Carries out nothing: whatever reaches its router was not refused. It does so as often as it is asked."""
    return World(settings=settings(rates=UNLIMITED))


@pytest.fixture
def world(one_world: World) -> World:
    one_world.router.carried_out.clear()
    return one_world


def refusal(codec: Codec, frame: bytes) -> PeerError:
    with pytest.raises(BadFrame) as caught:
        codec.decode(frame)
    assert caught.value.error.status == 400
    return caught.value.error


def json_frame(case: Case) -> bytes:
    members = {"id": 7, "type": case.declaration.name, **case.others}
    return f'{json.dumps(members)[:-1]}, "{case.field}": {case.value}}}'.encode()


@every_field(lambda case: True)
def test_over_websocket_in_json(cases: list[Case]) -> None:
    for case in cases:
        error = refusal(JSON_CODEC, json_frame(case))
        if any(text in case.value for text in NO_JSON):
            assert error.code == "malformed", case.name
        else:
            assert (error.code, f"`{case.field}" in error.detail) == ("invalid", True), (case.name, error.detail)


def packed(value: Any) -> bytes:
    """As MessagePack, in which a text is any bytes."""
    if isinstance(value, str):
        encoded = value.encode("utf-8", "surrogatepass")
        return b"\xdb" + len(encoded).to_bytes(4) + encoded
    if isinstance(value, dict):
        pairs = b"".join(packed(key) + packed(item) for key, item in value.items())
        return b"\xdf" + len(value).to_bytes(4) + pairs
    if isinstance(value, list):
        return b"\xdd" + len(value).to_bytes(4) + b"".join(map(packed, value))
    return msgspec.msgpack.encode(value)


def in_msgpack(case: Case) -> bool:
    """Whether MessagePack can say it: it has no integers of more than 64 bits, and we nest no deeper than Python."""
    return DEEP not in case.value and not re.search(r"\d{20}", case.value) and "1e400" not in case.value


@every_field(in_msgpack)
def test_over_websocket_in_messagepack(cases: list[Case]) -> None:
    for case in cases:
        members = {"id": 7, "type": case.declaration.name, **case.others, case.field: json.loads(case.value)}
        error = refusal(MSGPACK_CODEC, packed(members))
        if NOT_UNICODE not in case.value:
            assert (error.code, f"`{case.field}" in error.detail) == ("invalid", True), (case.name, error.detail)


def over_http(world: World, declaration: Declaration, fields: dict[str, str], others: str) -> Answer:
    """``fields`` for path and query as they stand there; ``others`` is the body of a POST."""
    route = declaration.route
    path = re.sub(r"\{(\w+)\}", lambda match: fields.pop(match[1]), route.path)
    if route.method == "POST":
        return world.ask("POST", path, others.encode())
    return world.ask("GET", f"{path}?" + "&".join(f"{name}={value}" for name, value in fields.items()))


def in_target(value: Any) -> str:
    return quote(str(value), safe="", errors="surrogatepass")


def has_text(case: Case) -> bool:
    return case.value.startswith('"')


def in_body(case: Case) -> bool:
    return case.declaration.route.method == "POST" and not case.in_path


@every_field(in_body)
def test_over_http_in_the_body_in_the_words_of_the_websocket(cases: list[Case], world: World) -> None:
    for case in cases:
        path = case.declaration.route.path
        fields = {name: in_target(value) for name, value in case.others.items() if f"{{{name}}}" in path}
        others = {name: value for name, value in case.others.items() if name not in fields}
        body = f'{json.dumps(others)[:-1]}{", " if others else ""}"{case.field}": {case.value}}}'
        problem = over_http(world, case.declaration, fields, body).problem
        error = refusal(JSON_CODEC, json_frame(case))
        assert (problem["status"], problem["code"], problem["detail"]) == (400, error.code, error.detail), case.name
        assert world.router.carried_out == [], case.name


def in_target_at_all(case: Case) -> bool:
    """A path or query has nothing but texts: what is none is only refused where no text is wanted.

    An empty part of a path is another path.
    """
    if in_body(case) or len(case.value) > 8000 or (case.in_path and case.value == '""'):
        return False
    field = next(f for f in msgspec.structs.fields(case.declaration.shape) if f.name == case.field)
    takes_text = "str" in str(field.type) and "int" not in str(field.type)
    return has_text(case) if takes_text else case.value not in ('"5"', "null")


@every_field(in_target_at_all)
def test_over_http_in_path_and_query(cases: list[Case], world: World) -> None:
    for case in cases:
        value = json.loads(case.value) if has_text(case) else case.value
        fields = {name: in_target(other) for name, other in case.others.items()} | {case.field: in_target(value)}
        problem = over_http(world, case.declaration, fields, "{}").problem
        assert (problem["status"], problem["code"]) == (400, "invalid"), case.name
        assert f"`{case.field}`" in problem["detail"], case.name
        assert world.router.carried_out == [], case.name


@pytest.mark.parametrize("declaration", DECLARATIONS, ids=lambda declaration: declaration.name)
def test_a_missing_field_is_named(declaration: Declaration, world: World) -> None:
    fields = example_fields(declaration)
    in_path = {name for name in fields if f"{{{name}}}" in declaration.route.path}
    for field in msgspec.structs.fields(declaration.shape):
        if not field.required or field.name == "id":
            continue
        others = {name: value for name, value in fields.items() if name != field.name}
        members = {"id": 7, "type": declaration.name, **others}
        expected = f"Object missing required field `{field.name}`"
        assert refusal(JSON_CODEC, json.dumps(members).encode()).detail == expected
        assert refusal(MSGPACK_CODEC, msgspec.msgpack.encode(members)).detail == expected
        if field.name not in in_path:
            target = {name: in_target(others[name]) for name in in_path}
            body = json.dumps({name: value for name, value in others.items() if name not in in_path})
            assert over_http(world, declaration, target, body).problem["detail"] == expected


@pytest.mark.parametrize("declaration", DECLARATIONS, ids=lambda declaration: declaration.name)
def test_an_unknown_field_is_named(declaration: Declaration, world: World) -> None:
    fields = example_fields(declaration)
    members = {"id": 7, "type": declaration.name, **fields, "surprise": 1}
    expected = "Object contains unknown field `surprise`"
    assert refusal(JSON_CODEC, json.dumps(members).encode()).detail == expected
    assert refusal(MSGPACK_CODEC, msgspec.msgpack.encode(members)).detail == expected
    target = {name: in_target(value) for name, value in fields.items()} | {"surprise": "1"}
    body = {name: value for name, value in fields.items() if f"{{{name}}}" not in declaration.route.path}
    answer = over_http(world, declaration, target, json.dumps(body | {"surprise": 1}))
    assert answer.problem["detail"] == expected
    assert world.router.carried_out == []
