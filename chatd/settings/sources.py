"""Where settings come from: flags beat the environment, the environment beats the file, the file the defaults.

Whatever is wrong stops the start with a ``SettingsError``: one line that names the key and the place it was set in.
"""

import os
import tomllib
from collections.abc import Iterable, Iterator, Mapping
from difflib import get_close_matches
from ipaddress import ip_address
from typing import Any

import msgspec

from chatd.records.base import Record
from chatd.settings.base import Secret, SettingsError
from chatd.settings.model import Settings
from chatd.settings.reference import ENVIRONMENT_ONLY, Field, fields, sections
from chatd.settings.rules import check
from chatd.settings.secrets import refuse_open_file, with_secrets

CONFIG_HELP = "File with settings, in TOML; CHATD_CONFIG names it too."

READ_ELSEWHERE = frozenset({"CHATD_CONFIG", "CHATD_PG_BIN"})
"""Variables of chatd that are no settings: the file of settings, and the folder of PostgreSQL's programs."""


class Given(Record, frozen=True, kw_only=True, gc=False):
    """One value as it was found. ``spelt`` is true where it is text that may stand for another type."""

    field: Field
    value: Any
    source: str
    spelt: bool


def load(flags: Mapping[str, str | bool], environ: Mapping[str, str]) -> Settings:
    """The settings of one start, checked against each other.

    ``flags`` holds those that were given, dashes included; ``--config`` among them names the file, and if it is not
    there CHATD_CONFIG does. Reads that file and those that hold secrets. Raises SettingsError, also for what is wrong
    in one place and beaten by another.
    """
    config = str(flags.get("--config") or environ.get("CHATD_CONFIG", ""))
    found = [*_from_file(config), *_from_environment(environ), *_from_flags(flags)]
    sources = {given.field.key: given.source for given in found}
    settings = with_secrets(_assemble(found), sources, environ)
    check(settings, sources)
    return settings


def unknown_flag(flag: str) -> SettingsError:
    """What to say of a flag that does not exist. Its value is not looked at: it may be a secret."""
    for field in fields():
        if field.secret and flag == "--" + field.key.replace(".", "-").replace("_", "-"):
            problem = f"a secret is never a flag, which every user of the machine can see; use {field.environment}"
            return SettingsError(flag, "command line", f"{problem} or {flag}-file")
    return SettingsError(flag, "command line", "no such flag" + _nearest(flag, [f.flag for f in fields() if f.flag]))


def _from_flags(flags: Mapping[str, str | bool]) -> Iterator[Given]:
    known = {field.flag: field for field in fields() if field.flag}
    for flag, value in flags.items():
        if flag == "--config":
            continue
        if flag not in known:
            raise unknown_flag(flag)
        yield Given(field=known[flag], value=value, source=flag, spelt=isinstance(value, str))


def _from_environment(environ: Mapping[str, str]) -> Iterator[Given]:
    known = {field.environment: field for field in fields()}
    for name, value in environ.items():
        if not name.startswith("CHATD_") or name in READ_ELSEWHERE:
            continue
        if name not in known:
            raise SettingsError(name, "environment", "no such variable" + _nearest(name, [*known, *READ_ELSEWHERE]))
        yield Given(field=known[name], value=value, source=name, spelt=True)


def _from_file(path: str) -> Iterator[Given]:
    if not path:
        return
    known = {field.key: field for field in fields() if field.key not in ENVIRONMENT_ONLY}
    for key, (value, place) in _flatten(_parse(path), path).items():
        if key in ENVIRONMENT_ONLY:
            raise SettingsError(key, place, "does not belong in this file; use encryption.master_keys_file")
        if key not in known:
            raise SettingsError(key, place, "no such setting" + _nearest(key, list(known)))
        if known[key].secret and value:
            refuse_open_file(key, place, path)
        yield Given(field=known[key], value=value, source=place, spelt=False)


def _parse(path: str) -> dict[str, Any]:
    try:
        with open(path, "rb") as file:
            return tomllib.load(file)
    except OSError as error:
        raise SettingsError("config", path, f"cannot be read: {error.strerror}") from error
    except ValueError as error:
        raise SettingsError("config", path, f"is not TOML: {error}") from error


def _flatten(document: Mapping[str, Any], path: str) -> dict[str, tuple[Any, str]]:
    """The values by key, each with its place in the file."""
    flat: dict[str, tuple[Any, str]] = {}
    for name, value in document.items():
        place = f"{path}:[{name}]"
        if name not in sections():
            flat[name] = (value, path)
        elif isinstance(value, dict):
            flat.update({f"{name}.{key}": (inner, place) for key, inner in value.items()})
        else:
            raise SettingsError(name, path, f"is a section: write [{name}] and its settings below it")
    return flat


def _assemble(found: Iterable[Given]) -> Settings:
    """The settings in which a later value takes the place of an earlier one."""
    tree: dict[str, Any] = {name: {} for name in sections() if name}
    for given in found:
        (tree[given.field.section] if given.field.section else tree)[given.field.name] = _convert(given)
    return msgspec.convert(tree, Settings)


def _convert(given: Given) -> Any:
    """The value as its setting's type; for text that stands for another type, what it stands for."""
    field, value = given.field, given.value
    if field.kind in ("origins", "networks") and given.spelt:
        value = [entry.strip() for entry in value.split(",") if entry.strip()]
    try:
        value = Secret(value) if field.kind == "secret" and isinstance(value, str) else value
        value = msgspec.convert(value, field.annotation, strict=not given.spelt)
        if field.kind == "address" and value != "localhost":
            ip_address(value)
        if field.kind in ("text", "secret"):
            str(given.value).encode()
    except (msgspec.ValidationError, ValueError):
        shown = "" if field.secret else f", not {_excerpt(given.value)}"
        raise SettingsError(field.key, given.source, f"must be {field.expects}{shown}") from None
    return os.path.abspath(value) if field.kind == "path" and value else value


def _excerpt(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 60 else text[:57] + "..."


def _nearest(name: str, known: list[str]) -> str:
    close = [key for key in known if key.startswith(name)] or get_close_matches(name, known, n=1)
    return f"; did you mean {close[0]}?" if close else ""
