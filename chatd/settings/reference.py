"""What there is to set, read off the types in ``chatd.settings``: for ``--help``, ``etc/chatd.toml`` and the docs."""

import json
from collections.abc import Iterator
from functools import cache
from typing import Annotated, Any, Literal, get_args, get_origin

import msgspec

from chatd.records.base import Record
from chatd.settings.base import Secret, Section
from chatd.settings.model import MOST_WORKERS, Settings

FILE_AND_ENVIRONMENT_ONLY = frozenset({"database.dsn", "contacts.secret", "redis.url"})
"""Secrets are no flags: every user of a machine can see the flags of every process."""
ENVIRONMENT_ONLY = frozenset({"encryption.master_keys"})
"""Keys do not belong among settings that are passed around, compared and backed up."""


class Field(Record, frozen=True, kw_only=True, gc=False):
    """One setting. ``section`` is empty at the top; ``annotation`` is its type with its range and help."""

    section: str
    name: str
    annotation: Any
    default: Any

    @property
    def key(self) -> str:
        return f"{self.section}.{self.name}" if self.section else self.name

    @property
    def environment(self) -> str:
        return "CHATD_" + self.key.replace(".", "_").upper()

    @property
    def flag(self) -> str:
        """Empty where there is none."""
        return "" if self.secret else "--" + self.key.replace(".", "-").replace("_", "-")

    @property
    def secret(self) -> bool:
        return self.key in ENVIRONMENT_ONLY | FILE_AND_ENVIRONMENT_ONLY

    @property
    def type(self) -> Any:
        return get_args(self.annotation)[0] if get_origin(self.annotation) is Annotated else self.annotation

    @property
    def metas(self) -> tuple[msgspec.Meta, ...]:
        return get_args(self.annotation)[1:] if get_origin(self.annotation) is Annotated else ()

    @property
    def help(self) -> str:
        return next(meta.description for meta in self.metas if meta.description)

    @property
    def kind(self) -> str:
        for meta in self.metas:
            if meta.extra:
                return str(meta.extra["kind"])
        if get_origin(self.type) is Literal:
            return "choice"
        return {bool: "boolean", int: "integer", float: "seconds", str: "text", Secret: "secret"}[self.type]

    @property
    def expects(self) -> str:
        """What would be right here, as the end of a sentence."""
        words = _EXPECTED[self.kind]
        if self.kind == "choice":
            return words + ", ".join(get_args(self.type))
        limits = next((meta for meta in self.metas if meta.ge is not None), None)
        return f"{words} from {limits.ge} to {limits.le}" if limits else words


_EXPECTED = {
    "path": "a path",
    "address": "an IP address such as 127.0.0.1 or ::, or localhost",
    "origins": 'a list of origins such as "https://chat.example.com"',
    "networks": 'a list of addresses and networks such as "10.0.0.0/8", or "unix"',
    "choice": "one of ",
    "workers": f"a whole number from 0 to {MOST_WORKERS}, or auto",
    "boolean": "true or false",
    "integer": "a whole number",
    "seconds": "seconds",
    "text": "text in UTF-8",
    "secret": "text in UTF-8",
    "rate": "a rate such as 100/s burst 500, or off",
    "prefix": "1 to 64 letters, digits, dots, hyphens and underscores",
}


class Row(Record, frozen=True, kw_only=True, gc=False):
    """One line of the reference table; every cell as it is printed."""

    name: str
    environment: str
    flag: str
    type: str
    default: str
    help: str


@cache
def fields() -> tuple[Field, ...]:
    """All settings, in the order of their declaration."""
    return tuple(_fields(Settings, ""))


def _fields(section: type[Section], name: str) -> Iterator[Field]:
    for info in msgspec.structs.fields(section):
        if _is_section(info.type):
            yield from _fields(info.type, info.name)
        else:
            yield Field(section=name, name=info.name, annotation=info.type, default=info.default)


def _is_section(annotation: Any) -> bool:
    return isinstance(annotation, type) and issubclass(annotation, Section)


def sections() -> dict[str, str]:
    """Each section's name and what it is about, in order; the top has the empty name."""
    about = {info.name: info.type.__doc__ for info in msgspec.structs.fields(Settings) if _is_section(info.type)}
    return {"": "The server."} | about


def reference() -> list[Row]:
    """The table of all settings, for the documentation."""
    return [
        Row(
            name=field.key,
            environment=field.environment,
            flag=field.flag,
            type=field.expects,
            default="" if field.secret else _literal(field.default),
            help=field.help,
        )
        for field in fields()
    ]


def example() -> str:
    """``etc/chatd.toml``: every setting with its help and default, switched off by a ``#`` directly before it."""
    parts = [_HEAD]
    for section, about in sections().items():
        parts.append(f"\n# {about}\n" + (f"[{section}]\n" if section else "\n"))
        parts.extend(_lines(field) for field in fields() if field.section == section)
    return "".join(parts)


def _lines(field: Field) -> str:
    if field.key in ENVIRONMENT_ONLY:
        return f"# {field.name} stands only in the environment, as {field.environment}.\n"
    default = "" if field.secret else field.default
    return f"# {field.help}\n#{field.name} = {_literal(default)}\n"


def _literal(value: Any) -> str:
    """As TOML writes it; for these types JSON writes the same."""
    return json.dumps(value)


_HEAD = """\
# Settings of chatd: twistd chatd --config chatd.toml
#
# Each line shows a default; take away the # before it to change it. The same names serve in the environment
# (CHATD_TLS_CERTIFICATE) and as flags (--tls-certificate): flags win over the environment, the environment over this
# file. Times are in seconds. Paths are relative to the folder that chatd is started in.
"""
