"""The auth services whose tokens are taken: that of the settings, and those in the file ``tokens.issuers_file``.

::

    [[issuer]]
    name = "https://auth.example.com"        # the exact iss of its tokens
    audience = "chat"                        # their aud
    jwks_url = "https://auth.example.com/jwks.json"     # or jwks_file, pem_file, or discovery = true

    [issuer.introspection]                   # optional
    url = "https://auth.example.com/introspect"
    client_id = "chatd"
    client_secret_file = "/etc/chatd/introspection-secret"      # or client_secret_env
    every_seconds = 60
    opaque = false

Whatever is wrong stops the start with one line that names table and key.
"""

import os
import tomllib
from collections.abc import Iterator, Mapping
from typing import Annotated, Any, Final, TypeVar

import msgspec
from msgspec import Meta

from chatd.settings.base import Path, Secret, Section, SettingsError
from chatd.settings.model import Tokens
from chatd.settings.reference import Field
from chatd.settings.secrets import read_secret, refuse_open_file
from chatd.settings.urls import fetch_problem

KEY_ORIGINS: Final = ("jwks_file", "pem_file", "jwks_url", "discovery")
"""What says where an issuer's keys come from; one of them is given."""

Table = TypeVar("Table", bound=Section)


class IntrospectionSettings(Section, frozen=True, kw_only=True):
    """Asking an issuer about its tokens (RFC 7662)."""

    url: str
    client_id: str
    client_secret_file: Annotated[str, Path] = ""
    client_secret_env: str = ""
    every_seconds: Annotated[float, Meta(ge=1, le=86_400)] = 60.0
    opaque: bool = False
    client_secret: Secret = Secret()


class IssuerSettings(Section, frozen=True, kw_only=True):
    """An auth service: whose tokens, for whom, and where its keys are."""

    name: str
    audience: str
    jwks_file: Annotated[str, Path] = ""
    pem_file: Annotated[str, Path] = ""
    jwks_url: str = ""
    discovery: bool = False
    hs256: bool = False
    introspection: IntrospectionSettings | None = None

    @property
    def has_keys(self) -> bool:
        return any(getattr(self, name) for name in KEY_ORIGINS)

    @property
    def fetched(self) -> bool:
        """Whether its keys come from the network."""
        return bool(self.jwks_url or self.discovery)


def issuers(tokens: Tokens, environ: Mapping[str, str]) -> list[IssuerSettings]:
    """All issuers that are configured, checked against each other; secrets are read. Raises SettingsError."""
    found = [_from_settings(tokens)] if tokens.issuer else []
    if tokens.issuers_file:
        found += _from_file(tokens.issuers_file, environ, {issuer.name for issuer in found})
    return found


def _from_settings(tokens: Tokens) -> IssuerSettings:
    return IssuerSettings(
        name=tokens.issuer,
        audience=tokens.audience,
        jwks_file=tokens.jwks_file,
        pem_file=tokens.pem_file,
        jwks_url=tokens.jwks_url,
        discovery=tokens.discovery,
        hs256=tokens.hs256,
    )


def _from_file(path: str, environ: Mapping[str, str], taken: set[str]) -> list[IssuerSettings]:
    tables = _tables(path)
    found: list[IssuerSettings] = []
    opaque: str | None = None
    for number, table in enumerate(tables, 1):
        place = _Place(path, f"[[issuer]] {number}", environ)
        issuer = place.issuer(table)
        if issuer.name in taken:
            raise place.refuse("name", f"{issuer.name} stands here twice, or in tokens.issuer too")
        taken.add(issuer.name)
        if issuer.introspection is not None and issuer.introspection.opaque:
            if opaque is not None:
                raise place.refuse("introspection.opaque", f"only one issuer can have opaque tokens, and {opaque} has")
            opaque = issuer.name
        found.append(issuer)
    return found


def _tables(path: str) -> list[Any]:
    try:
        with open(path, "rb") as file:
            document = tomllib.load(file)
    except OSError as error:
        raise SettingsError("tokens.issuers_file", path, f"cannot be read: {error.strerror}") from error
    except ValueError as error:
        raise SettingsError("tokens.issuers_file", path, f"is not TOML: {error}") from error
    for name in document:
        if name != "issuer":
            raise SettingsError(name, path, "no such setting here; issuers stand in tables [[issuer]]")
    tables = document.get("issuer")
    if not isinstance(tables, list) or not tables:
        raise SettingsError("issuer", path, "must be tables [[issuer]], one for each issuer")
    return tables


class _Place:
    """One table of the file; it makes sense of it, or says what is wrong there."""

    def __init__(self, path: str, table: str, environ: Mapping[str, str]) -> None:
        self._path = path
        self._table = table
        self._environ = environ

    def refuse(self, key: str, problem: str) -> SettingsError:
        return SettingsError(f"{self._table} {key}", self._path, problem)

    def issuer(self, table: Any) -> IssuerSettings:
        if not isinstance(table, dict):
            raise SettingsError(self._table, self._path, "must be a table")
        members = dict(table)
        asked = members.pop("introspection", None)
        introspection = None if asked is None else self._introspection(asked)
        issuer = msgspec.structs.replace(self._convert(members, IssuerSettings, ""), introspection=introspection)
        self._check_keys(issuer)
        return issuer

    def _introspection(self, table: Any) -> IntrospectionSettings:
        if not isinstance(table, dict):
            raise self.refuse(
                "introspection", "must be a table: write [issuer.introspection] and its settings below it"
            )
        given = self._convert(table, IntrospectionSettings, "introspection.")
        problem = fetch_problem(given.url)
        if problem is not None:
            raise self.refuse("introspection.url", problem)
        return msgspec.structs.replace(given, client_secret=self._secret(given))

    def _secret(self, given: IntrospectionSettings) -> Secret:
        file, variable = given.client_secret_file, given.client_secret_env
        if bool(file) == bool(variable):
            raise self.refuse("introspection.client_secret_file", "give this or client_secret_env, and not both")
        if file:
            return read_secret(f"{self._table} introspection.client_secret_file", self._path, file)
        if variable.startswith("CHATD_"):
            raise self.refuse(
                "introspection.client_secret_env", "names that begin with CHATD_ are chatd's own settings"
            )
        if not self._environ.get(variable):
            raise self.refuse("introspection.client_secret_env", f"the environment has no {variable}, or an empty one")
        return Secret(self._environ[variable])

    def _check_keys(self, issuer: IssuerSettings) -> None:
        origins = [name for name in KEY_ORIGINS if getattr(issuer, name)]
        if len(origins) > 1:
            raise self.refuse(origins[1], f"{origins[0]} is set too; the keys come from one of them")
        if not origins and not (issuer.introspection and issuer.introspection.opaque):
            raise self.refuse("jwks_url", "set this, discovery, jwks_file or pem_file, or opaque tokens only")
        if issuer.hs256 and not issuer.jwks_file:
            raise self.refuse("hs256", "HS256 keys are secrets, which stand in jwks_file and nowhere else")
        if issuer.jwks_file and issuer.hs256:
            refuse_open_file(f"{self._table} jwks_file", self._path, issuer.jwks_file)
        problem = fetch_problem(issuer.name if issuer.discovery else issuer.jwks_url) if issuer.fetched else None
        if problem is not None:
            raise self.refuse("name" if issuer.discovery else "jwks_url", problem)

    def _convert(self, members: Mapping[str, Any], shape: type[Table], prefix: str) -> Table:
        known = {field.name: field for field in _fields(shape)}
        for name in members:
            if name not in known:
                raise self.refuse(prefix + name, f"no such setting; there are {', '.join(known)}")
        values: dict[str, Any] = {}
        for name, field in known.items():
            if name in members:
                values[name] = self._value(prefix + name, field, members[name])
            elif field.default is msgspec.NODEFAULT:
                raise self.refuse(prefix + name, "is missing")
        return shape(**values)

    def _value(self, key: str, field: Field, given: Any) -> Any:
        try:
            value = msgspec.convert(given, field.annotation)
        except msgspec.ValidationError:
            raise self.refuse(key, f"must be {field.expects}") from None
        if field.kind in ("path", "text") and not value:
            raise self.refuse(key, "must not be empty")
        return os.path.abspath(value) if field.kind == "path" else value


def _fields(shape: type[Section]) -> Iterator[Field]:
    for info in msgspec.structs.fields(shape):
        if info.name not in ("introspection", "client_secret"):
            yield Field(section="", name=info.name, annotation=info.type, default=info.default)
