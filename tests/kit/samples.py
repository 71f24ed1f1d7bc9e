"""Valid values for any type of the wire, made from the type alone, so that a new command needs no sample of its own."""

from collections.abc import Callable, Iterator
from functools import cache
from typing import Annotated, Any

import msgspec
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

TEXTS = ("x", "6b4d2f0e-8f5b-8c1d-9a53-0a8f5a3f1c2b", "https://example.com/x")
"""One of these is valid wherever a text is."""

Path = tuple[str, ...]
"""Where in a frame: a field, then perhaps ``key`` or ``value`` of a mapping, or ``item`` of a list."""


def sample(annotation: Any) -> Any:
    """A valid value, as it stands in a frame."""
    return _sample(annotation if isinstance(annotation, Type) else type_info(annotation))


def frame_of(shape: type[msgspec.Struct]) -> dict[str, Any]:
    """A frame with every field of ``shape``."""
    return _struct(_described(shape))


@cache
def _described(shape: type[msgspec.Struct]) -> Type:
    return type_info(shape)


def _sample(kind: Type) -> Any:
    match kind:
        case Metadata():
            return _sample(kind.type)
        case UnionType():
            return _sample(next(one for one in kind.types if not isinstance(one, NoneType)))
        case StrType():
            return next(text for text in TEXTS if fits(text, kind))
        case IntType():
            return kind.ge if kind.ge is not None else 1
        case BoolType():
            return True
        case LiteralType():
            return kind.values[0]
        case DateTimeType():
            return "2026-01-01T12:00:00Z"
        case DictType():
            return {_sample(kind.key_type): _sample(kind.value_type)}
        case ListType():
            return [_sample(kind.item_type)]
        case StructType():
            return _struct(kind)
    raise AssertionError(f"no sample for {kind}")


def _struct(kind: Type) -> dict[str, Any]:
    assert isinstance(kind, StructType)
    tag = {} if kind.tag_field is None else {kind.tag_field: kind.tag}
    return tag | {field.encode_name: _sample(field.type) for field in kind.fields}


def fits(text: str, kind: StrType) -> bool:
    """Whether a text is one of this type, by the type's own rules."""
    rules = {name: getattr(kind, name) for name in ("min_length", "max_length", "pattern")}
    given = {name: rule for name, rule in rules.items() if rule is not None}
    try:
        msgspec.convert(text, Annotated[str, msgspec.Meta(**given)])
    except msgspec.ValidationError:
        return False
    return True


def places(shape: type[msgspec.Struct], wanted: Callable[[Type], bool]) -> Iterator[Path]:
    """Everywhere in a frame of ``shape`` where a value of a wanted type stands."""
    kind = _described(shape)
    assert isinstance(kind, StructType)
    for field in kind.fields:
        for path, one in _parts((field.encode_name,), field.type):
            if wanted(one):
                yield path


def _parts(path: Path, kind: Type) -> Iterator[tuple[Path, Type]]:
    yield path, kind
    match kind:
        case Metadata():
            yield from _parts(path, kind.type)
        case UnionType():
            for one in kind.types:
                yield from _parts(path, one)
        case ListType():
            yield from _parts((*path, "item"), kind.item_type)
        case DictType():
            yield from _parts((*path, "key"), kind.key_type)
            yield from _parts((*path, "value"), kind.value_type)


def put(frame: dict[str, Any], path: Path, value: Any) -> dict[str, Any]:
    """``frame`` with ``value`` at that place."""
    name, *rest = path
    if not rest:
        return frame | {name: value}
    if rest == ["item"]:
        return frame | {name: [value]}
    ((key, old),) = frame[name].items()
    return frame | {name: {value: old} if rest == ["key"] else {key: value}}


def is_text(kind: Type) -> bool:
    return isinstance(kind, StrType | LiteralType)


def is_number(kind: Type) -> bool:
    return isinstance(kind, IntType)


def is_list(annotation: Any) -> bool:
    """Whether a field of this type holds a list."""
    kind = type_info(annotation)
    return isinstance(kind.type if isinstance(kind, Metadata) else kind, ListType)
