"""The types of the wire as JSON Schema (draft 2020-12), for both API descriptions."""

import inspect
import json
from collections.abc import Iterable, Sequence
from typing import Any

import msgspec

from chatd.errors import CATALOGUE, ChatdError
from chatd.wire.commands import Declaration
from chatd.wire.events import Event, LogEvent

Schema = dict[str, Any]

PREFIX = "#/components/schemas/"


class Schemas:
    """The schemas of ``types`` and of all that they are made of. Where one stands in another, it is referred to."""

    def __init__(self, types: Iterable[type[msgspec.Struct]]) -> None:
        wanted = list(dict.fromkeys(types))
        references, components = msgspec.json.schema_components(wanted, ref_template=PREFIX + "{name}")
        self._names = {
            type: str(reference["$ref"]).removeprefix(PREFIX)
            for type, reference in zip(wanted, references, strict=True)
        }
        self.components: dict[str, Schema] = {name: _polished(components[name]) for name in sorted(components)}

    def reference(self, type: type[msgspec.Struct]) -> Schema:
        """A reference to the schema of ``type``."""
        return {"$ref": PREFIX + self._names[type]}

    def take(self, type: type[msgspec.Struct]) -> Schema:
        """The schema of ``type``, which from now on is no component."""
        return self.components.pop(self._names[type])

    def of(self, type: type[msgspec.Struct]) -> Schema:
        """The schema of ``type``, to be changed where it stands."""
        return self.components[self._names[type]]

    def replace(self, type: type[msgspec.Struct], schema: Schema) -> None:
        """Put another schema in the place of that of ``type``."""
        self.components[self._names[type]] = schema


def _polished(node: Any) -> Any:
    """Without titles, which repeat the names; docstrings as Markdown; texts said to be texts."""
    if isinstance(node, list):
        return [_polished(item) for item in node]
    if not isinstance(node, dict):
        return node
    polished: Schema = {}
    for key, value in node.items():
        if key == "properties":
            polished[key] = {name: _polished(schema) for name, schema in value.items()}
        elif key == "description":
            polished[key] = markdown(value)
        elif key in ("default", "examples", "enum"):
            polished[key] = value
        elif key != "title":
            polished[key] = _polished(value)
    if "type" not in polished and all(isinstance(value, str) for value in polished.get("enum", [None])):
        polished["type"] = "string"
    return polished


def markdown(docstring: str) -> str:
    """A docstring, in which only literals are marked up."""
    return inspect.cleandoc(docstring).replace("``", "`")


def without_property(schema: Schema, name: str) -> None:
    """Take a property out of an object's schema."""
    schema["properties"].pop(name, None)
    schema["required"] = [required for required in schema.get("required", []) if required != name]
    if not schema["required"]:
        del schema["required"]


def log_events(events: Iterable[type[Event]]) -> list[type[Event]]:
    """Those of ``events`` that stand in a log."""
    return [event for event in events if issubclass(event, LogEvent)]


def emitted(declarations: Iterable[Declaration]) -> list[type[Event]]:
    """All events that the commands bring about, by name."""
    events = {event for declaration in declarations for event in declaration.emits}
    return sorted(events, key=tag)


def tag(type: type[msgspec.Struct]) -> str:
    """The ``type`` that marks a message."""
    return str(type.__struct_config__.tag)


def example_fields(declaration: Declaration) -> dict[str, Any]:
    """The fields of an example as a WebSocket takes them, those of the HTTP path among them.

    What the declaration's example leaves out is shown by the first example of its type.
    """
    given = declaration.example or {}
    return {
        field.name: msgspec.json.schema(field.type)["examples"][0]
        for field in msgspec.structs.fields(declaration.shape)
        if field.required and field.name not in {"id", *given}
    } | given


def in_catalogue_order(errors: Iterable[type[ChatdError]]) -> list[type[ChatdError]]:
    """Each error once, by status."""
    given = set(errors)
    return [error for error in CATALOGUE if error in given]


def error_list(errors: Sequence[type[ChatdError]]) -> str:
    """Codes and what they mean, as Markdown."""
    return "\n".join(f"- `{error.code}`: {error.meaning}" for error in errors)


def rendered(document: Schema) -> bytes:
    """A document as it is served and kept under ``docs/reference``."""
    return json.dumps(document, indent=2, ensure_ascii=False).encode() + b"\n"
