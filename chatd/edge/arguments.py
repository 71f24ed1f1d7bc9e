"""How a command is asked for over HTTP: some fields in the path, the others in the query or the body.

What is given there is decoded by the types that decode the same command on a WebSocket, so that it is refused for
the same reasons and in the same words.
"""

import re
from collections.abc import Iterable, Mapping
from typing import Any
from urllib.parse import unquote, unquote_plus

import msgspec
from msgspec.inspect import BoolType, FloatType, IntType, Metadata, NoneType, Type, UnionType, type_info

from chatd.errors import Invalid, Malformed
from chatd.wire.codec import refusal
from chatd.wire.commands import Command, Declaration

NO_ID = 0
"""The ``id`` of a command over HTTP, where the reply needs none to be found."""

_IN_PATH = re.compile(r"\{(\w+)\}")
_LITERAL = re.compile(r"-?(0|[1-9][0-9]*)(\.[0-9]+)?([eE][+-]?[0-9]+)?|true|false", re.ASCII)


class Arguments:
    """The ways in to one command. ``in_path`` and ``elsewhere`` are its fields as two types of their own."""

    def __init__(self, declaration: Declaration) -> None:
        self._shape = declaration.shape
        named = frozenset(_IN_PATH.findall(declaration.route.path))
        fields = [field for field in msgspec.structs.fields(declaration.shape) if field.name != "id"]
        name = "".join(part.capitalize() for part in re.split("[._]", declaration.name))
        self.in_path = _struct(f"{name}Path", (field for field in fields if field.name in named))
        self.elsewhere = _struct(f"{name}Fields", (field for field in fields if field.name not in named))
        self._literals = frozenset(field.name for field in fields if _takes_literals(type_info(field.type)))
        self._decode_path = msgspec.json.Decoder(self.in_path).decode
        self._decode_elsewhere = msgspec.json.Decoder(self.elsewhere).decode

    def from_query(self, path: Mapping[str, str], query: bytes) -> Command:
        """The command that a path and a query ask for; raises Invalid or Malformed."""
        return self._command(path, self._json(_query(query)))

    def from_body(self, path: Mapping[str, str], body: bytes) -> Command:
        """The command that a path and a JSON body ask for; raises Invalid or Malformed."""
        return self._command(path, body)

    def _command(self, path: Mapping[str, str], elsewhere: bytes) -> Command:
        try:
            named = self._decode_path(self._json(_unquoted(path)))
            others = self._decode_elsewhere(elsewhere)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
            raise refusal(error) from None
        return self._shape(id=NO_ID, **msgspec.structs.asdict(named), **msgspec.structs.asdict(others))

    def _json(self, texts: Mapping[str, str]) -> bytes:
        """``texts`` as a JSON object. Where a field takes no text, numbers, true and false stand for themselves."""
        return b"{%b}" % b",".join(
            b"%b:%b" % (msgspec.json.encode(name), self._value(name, text)) for name, text in texts.items()
        )

    def _value(self, name: str, text: str) -> bytes:
        if name in self._literals and _LITERAL.fullmatch(text):
            return text.encode()
        return msgspec.json.encode(text)


def _struct(name: str, fields: Iterable[msgspec.structs.FieldInfo]) -> type[msgspec.Struct]:
    return msgspec.defstruct(
        name, [_field(field) for field in fields], frozen=True, kw_only=True, forbid_unknown_fields=True
    )


def _field(field: msgspec.structs.FieldInfo) -> Any:
    if field.default_factory is not msgspec.NODEFAULT:
        return field.name, field.type, msgspec.field(default_factory=field.default_factory)
    if field.default is not msgspec.NODEFAULT:
        return field.name, field.type, field.default
    return field.name, field.type


def _takes_literals(type: Type) -> bool:
    """Whether values of this type are numbers or booleans, and never text."""
    if isinstance(type, Metadata):
        return _takes_literals(type.type)
    if isinstance(type, UnionType):
        return all(_takes_literals(part) for part in type.types if not isinstance(part, NoneType))
    return isinstance(type, IntType | FloatType | BoolType)


def _unquoted(path: Mapping[str, str]) -> dict[str, str]:
    """The fields of a path, each decoded once."""
    fields = {}
    for name, value in path.items():
        try:
            fields[name] = unquote(value, errors="strict")
        except UnicodeDecodeError:
            raise Invalid(f"`{name}` in the path is not UTF-8.") from None
    return fields


def _query(query: bytes) -> dict[str, str]:
    """The fields of a query, each given once."""
    try:
        pairs = [pair.partition("=") for pair in query.decode("ascii").split("&") if pair]
    except UnicodeDecodeError:
        raise Malformed("The query is not percent-encoded.") from None
    fields: dict[str, str] = {}
    for quoted, _, value in pairs:
        name = unquote_plus(quoted)
        if name in fields:
            raise Invalid(f"`{name}` is given more than once.")
        try:
            fields[name] = unquote_plus(value, errors="strict")
        except UnicodeDecodeError:
            raise Invalid(f"`{name}` is not UTF-8.") from None
    return fields
