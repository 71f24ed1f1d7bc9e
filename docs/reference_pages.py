"""Writes the pages of the reference from the definitions themselves, so that they cannot fall behind."""

import inspect
import json
from collections.abc import Callable, Iterable
from pathlib import Path

import msgspec

from chatd.errors import CATALOGUE, CloseCode
from chatd.handlers import rights
from chatd.handlers.catalogue import DECLARATIONS
from chatd.handlers.rights import RIGHTS, ROLES
from chatd.settings.reference import fields
from chatd.wire.commands import Declaration, counted_by_route
from chatd.wire.events import ConversationStale, Event, Goaway, Hello
from chatd.wire.session import Auth


def write_pages(folder: Path) -> None:
    """Write all pages into ``folder``; files that would not change are left alone."""
    folder.mkdir(parents=True, exist_ok=True)
    pages: dict[str, Callable[[], Iterable[str]]] = {
        "commands.rst": _commands,
        "events.rst": _events,
        "errors.rst": _errors,
        "settings.rst": _settings,
        "rights.rst": _rights,
        "rates.inc": _rates,
        "costs.inc": _costs,
    }
    for name, lines in pages.items():
        text = "\n".join(lines()) + "\n"
        path = folder / name
        if not path.exists() or path.read_text() != text:
            path.write_text(text)


def _title(text: str, line: str) -> list[str]:
    return [text, line * len(text), ""]


def _table(heads: tuple[str, ...], rows: Iterable[tuple[str, ...]]) -> list[str]:
    lines = [".. list-table::", "   :header-rows: 1", ""]
    for row in (heads, *rows):
        for position, cell in enumerate(row):
            lines.append(f"   {'*' if position == 0 else ' '} - {cell}")
    return [*lines, ""]


def _fields(shape: type[msgspec.Struct], leave_out: tuple[str, ...] = ()) -> list[str]:
    schema = msgspec.json.schema(shape)["$defs"][shape.__name__]
    required = schema.get("required", ())
    rows = [
        (
            f"``{name}``",
            _type(property),
            "required" if name in required else f"default ``{json.dumps(property.get('default'))}``",
            property.get("description", ""),
        )
        for name, property in schema["properties"].items()
        if name not in leave_out
    ]
    return _table(("field", "type", "", ""), rows) if rows else ["No fields.", ""]


def _type(property: dict[str, object]) -> str:
    if "anyOf" in property:
        return " or ".join(_type(one) for one in property["anyOf"])  # type: ignore[attr-defined]
    if "$ref" in property:
        return str(property["$ref"]).rpartition("/")[2]
    if "enum" in property:
        return ", ".join(f"``{one}``" for one in property["enum"])  # type: ignore[attr-defined]
    return str(property.get("type", "any"))


def _commands() -> Iterable[str]:
    yield from _title("Commands", "=")
    yield "Over WebSocket each has an ``id``, which its reply carries, and a ``type``, its name."
    yield "Over HTTP the route says both, and the reply is the body."
    yield ""
    yield from _title("auth", "-")
    yield from [inspect.getdoc(Auth) or "", ""]
    yield "WebSocket only; over HTTP the token stands in the Authorization header."
    yield ""
    yield from _fields(Auth, ("id", "type"))
    for declaration in DECLARATIONS:
        yield from _command(declaration)


def _command(declaration: Declaration) -> Iterable[str]:
    yield from _title(declaration.name, "-")
    yield from [f"``{declaration.route.method} {declaration.route.path}``", ""]
    yield from [declaration.summary, "", declaration.description, ""]
    yield from [inspect.getdoc(declaration.shape) or "", ""]
    yield from _fields(declaration.shape, ("id", "type"))
    yield from ["**Reply.** " + " ".join((inspect.getdoc(declaration.reply) or "").split()), ""]
    yield from _fields(declaration.reply, ("type",))
    if declaration.errors:
        yield from ["**Errors:** " + ", ".join(f"``{error.code}``" for error in declaration.errors) + ".", ""]


def _events() -> Iterable[str]:
    yield from _title("Events", "=")
    shapes: list[type[Event]] = [Hello, Goaway, ConversationStale]
    for declaration in DECLARATIONS:
        shapes += [event for event in declaration.emits if event not in shapes]
    for shape in shapes:
        yield from _title(str(shape.__struct_config__.tag), "-")
        yield from [inspect.getdoc(shape) or "", ""]
        yield from _fields(shape, ("type",))


def _errors() -> Iterable[str]:
    yield from _title("Errors and close codes", "=")
    yield "``retryable`` errors may be sent again as they are, after ``retry_after_ms`` where it is given."
    yield ""
    yield from _table(
        ("code", "status", "retryable", "meaning"),
        [(f"``{e.code}``", str(e.status), "yes" if e.retryable else "no", e.meaning) for e in CATALOGUE],
    )
    yield from _title("Close codes", "-")
    yield 'Of chatd\'s own, 4000-4499 mean "come back and resume", 4500-4999 "do not come back like this".'
    yield ""
    yield from _table(("code", "name"), [(str(int(code)), _words(code.name)) for code in CloseCode])


def _words(name: str) -> str:
    return name.replace("_", " ").lower()


def _rights() -> Iterable[str]:
    yield from _title("Who may do what in a group", "=")
    _, _, rules = (inspect.getdoc(rights) or "").partition("\n\n")
    yield from [rules, ""]
    yield from _table(
        ("to", "takes the role"),
        [
            (action.value, f"``{least}``" if least in ROLES else f"that the group's rule ``{least}`` names")
            for action, least in RIGHTS.items()
        ],
    )


def _rates() -> Iterable[str]:
    """To be included where the limits are explained."""
    yield from _table(
        ("rate", "default", "what it limits"),
        [(f"``{f.name}``", f"``{f.default}``", f.help) for f in fields() if f.section == "rates"],
    )


def _costs() -> Iterable[str]:
    """The commands that do not count as their route would have it."""
    yield from _table(
        ("command", "counts as", "costs"),
        [
            (f"``{each.name}``", f"``{each.counts_as}``", str(each.cost))
            for each in DECLARATIONS
            if each.cost != 1 or each.counts_as != counted_by_route(each.route)
        ],
    )


def _settings() -> Iterable[str]:
    yield from _title("Settings", "=")
    yield "Flags win over the environment, the environment over the file."
    yield ""
    yield from _table(
        ("key", "variable", "flag", "default", "meaning"),
        [
            (
                f"``{f.key}``",
                f"``{f.environment}``",
                f"``{f.flag}``" if f.flag else "",
                f"``{f.default!s}``" if f.default != "" else "",
                f.help,
            )
            for f in fields()
        ],
    )
