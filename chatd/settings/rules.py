"""Settings that are right one by one and impossible together. Each rule says what would be right in one line."""

import os
from collections.abc import Callable, Mapping
from ipaddress import ip_address
from urllib.parse import urlsplit

from chatd.settings.base import SettingsError
from chatd.settings.issuers import KEY_ORIGINS
from chatd.settings.model import Settings
from chatd.settings.networks import trusted_network
from chatd.settings.secrets import NOT_SET, reason, refuse_open_file
from chatd.settings.urls import fetch_problem

JSON_BYTES_PER_CHAR = 12
"""The most that one code point takes in JSON: two \\uXXXX escapes (RFC 8259, section 7)."""
ENVELOPE_BYTES = 1024
"""What a command holds besides its text and metadata, rounded up."""
SOCKET_PATH_BYTES = 107
"""Linux's sun_path without its last byte (unix(7))."""

LEAST_MEMORY_BYTES = 2**27
"""Of a worker with a thousand idle connections, and some to spare."""


class Checked:
    """The settings under examination, and where each was set."""

    def __init__(self, settings: Settings, sources: Mapping[str, str]) -> None:
        self.settings = settings
        self._sources = sources

    def refuse(self, key: str, problem: str) -> SettingsError:
        """To be raised by the rule that found the problem."""
        return SettingsError(key, self._sources.get(key, NOT_SET), problem)

    def source(self, key: str) -> str:
        return self._sources.get(key, NOT_SET)


def check(settings: Settings, sources: Mapping[str, str]) -> None:
    """Raise SettingsError for the first rule that is broken."""
    checked = Checked(settings, sources)
    for rule in RULES:
        rule(checked)


def is_loopback(host: str) -> bool:
    """Whether only this machine can reach what listens there. ``host`` is an IP address or localhost."""
    return host == "localhost" or ip_address(host).is_loopback


def _one_place_to_listen(given: Checked) -> None:
    settings = given.settings
    if settings.socket and settings.tls.given:
        raise given.refuse("socket", "is plain HTTP for a proxy that ends TLS; leave out tls, or listen on a port")
    if settings.socket and len(os.fsencode(settings.socket)) > SOCKET_PATH_BYTES:
        raise given.refuse("socket", f"a UNIX socket's path has at most {SOCKET_PATH_BYTES} bytes")
    if settings.socket and settings.dev:
        raise given.refuse("socket", "a try-out (dev) listens on a port; leave this out")


def _whole_tls(given: Checked) -> None:
    tls = given.settings.tls
    if tls.key and not tls.certificate:
        raise given.refuse("tls.key", "needs tls.certificate beside it")
    if tls.certificate and not tls.key:
        raise given.refuse("tls.certificate", "needs tls.key beside it")


def _no_plain_text_abroad(given: Checked) -> None:
    settings = given.settings
    if settings.socket or is_loopback(settings.host):
        return
    if settings.dev:
        raise given.refuse("host", "a try-out (dev) listens on this machine only; leave it at 127.0.0.1")
    if not settings.tls.certificate and not settings.behind_proxy:
        raise given.refuse(
            "host",
            f"{settings.host} is reached from other machines, and tokens would travel unencrypted:"
            " set tls.certificate and tls.key, or behind_proxy if a proxy ends TLS",
        )


def _try_out_brings_its_own(given: Checked) -> None:
    settings = given.settings
    brought: dict[str, object] = {
        "tokens.jwks_file": settings.tokens.jwks_file,
        "tokens.pem_file": settings.tokens.pem_file,
        "tokens.jwks_url": settings.tokens.jwks_url,
        "tokens.discovery": settings.tokens.discovery,
        "tokens.issuers_file": settings.tokens.issuers_file,
        "tokens.issuer": settings.tokens.issuer,
        "tokens.audience": settings.tokens.audience,
        "encryption.master_keys": settings.encryption.master_keys,
        "encryption.master_keys_file": settings.encryption.master_keys_file,
        "encryption.master_keys_command": settings.encryption.master_keys_command,
    }
    for key, value in brought.items():
        # What nobody set came from systemd or from the file of another key.
        if settings.dev and value and given.source(key) != NOT_SET:
            raise given.refuse(key, "a try-out (dev) makes its own tokens and keys; leave this out")


def _tokens(given: Checked) -> None:
    tokens = given.settings.tokens
    origins = [name for name in KEY_ORIGINS if getattr(tokens, name)]
    if len(origins) > 1:
        first, second = (f"tokens.{name}" for name in origins[:2])
        raise given.refuse(second, f"{first} is set too ({given.source(first)})")
    if tokens.hs256 and tokens.pem_file:
        raise given.refuse("tokens.hs256", "HS256 keys stand in tokens.jwks_file; a PEM file holds none")
    if tokens.hs256 and (tokens.jwks_url or tokens.discovery):
        raise given.refuse("tokens.hs256", "HS256 keys are secrets, which nobody publishes: use tokens.jwks_file")
    if given.settings.dev or (tokens.issuers_file and not (origins or tokens.issuer or tokens.audience)):
        return
    if not origins:
        raise given.refuse(
            "tokens.jwks_file",
            "set this, tokens.pem_file, tokens.jwks_url, tokens.discovery or tokens.issuers_file,"
            " or try chatd out with --dev",
        )
    if not tokens.issuer:
        raise given.refuse("tokens.issuer", "say whose tokens are accepted: what their iss is")
    if not tokens.audience:
        raise given.refuse("tokens.audience", "say for whom the accepted tokens are made: what their aud is")
    fetched = {"tokens.jwks_url": tokens.jwks_url, "tokens.issuer": tokens.issuer if tokens.discovery else ""}
    for key, url in fetched.items():
        problem = fetch_problem(url) if url else None
        if problem is not None:
            raise given.refuse(key, problem)


def _database(given: Checked) -> None:
    if not given.settings.dev and not given.settings.database.dsn:
        raise given.refuse(
            "database.dsn", "say where PostgreSQL is, or in database.dsn_file, or try chatd out with --dev"
        )


def _master_keys(given: Checked) -> None:
    if not given.settings.dev and not given.settings.encryption.master_keys:
        raise given.refuse(
            "encryption.master_keys_file",
            "messages are encrypted at rest: give master keys here, in CHATD_ENCRYPTION_MASTER_KEYS, by"
            " encryption.master_keys_command or as systemd's credential chatd-master-keys, or try chatd out with --dev",
        )


def _sizes_that_fit(given: Checked) -> None:
    limits = given.settings.limits
    if limits.max_frame_bytes > limits.max_message_bytes:
        raise given.refuse(
            "limits.max_frame_bytes", f"may be no more than max_message_bytes, {limits.max_message_bytes}"
        )
    if limits.event_buffer_bytes > limits.output_buffer_bytes:
        raise given.refuse(
            "limits.event_buffer_bytes", f"may be no more than output_buffer_bytes, {limits.output_buffer_bytes}"
        )
    needed = limits.max_text_chars * JSON_BYTES_PER_CHAR + limits.max_metadata_bytes + ENVELOPE_BYTES
    for name in ("max_frame_bytes", "max_body_bytes"):
        if getattr(limits, name) < needed:
            key = f"limits.{name}" if given.source(f"limits.{name}") != NOT_SET else "limits.max_text_chars"
            raise given.refuse(key, f"the longest text and metadata may take {needed} bytes, but {name} is less")


def _ports_apart(given: Checked) -> None:
    settings = given.settings
    if settings.metrics.port and settings.metrics.port == settings.port and not settings.socket:
        raise given.refuse("metrics.port", f"{settings.port} is chatd's own port; metrics need another")


def _contacts(given: Checked) -> None:
    contacts = given.settings.contacts
    if contacts.policy == "ask" and not contacts.url:
        raise given.refuse("contacts.url", "say where the product is asked, since contacts.policy is ask")
    if contacts.url and contacts.policy != "ask":
        raise given.refuse("contacts.url", "is asked only where contacts.policy is ask")
    if contacts.url and not _is_askable(contacts.url):
        raise given.refuse(
            "contacts.url", "must be https://host[:port]/path, or http:// with an address of this machine for its host"
        )
    secret = contacts.secret.reveal()
    if not all("!" <= character <= "~" for character in secret):
        raise given.refuse("contacts.secret", "must be visible ASCII without spaces, since it stands in a header")


def _is_askable(url: str) -> bool:
    """Whether questions to this URL can travel only encrypted, or not at all."""
    try:
        parts = urlsplit(url)
        sound = bool(parts.hostname) and parts.port != 0 and parts.username is None and not parts.fragment
    except ValueError:
        return False
    if not sound or not all("!" <= character <= "~" for character in url):
        return False
    return parts.scheme == "https" or (parts.scheme == "http" and _is_local(parts.hostname or ""))


def _is_local(host: str) -> bool:
    try:
        return is_loopback(host)
    except ValueError:
        return False


def _origin_ports(given: Checked) -> None:
    for origin in given.settings.origins.allowed:
        port = origin.rpartition(":")[2]
        if port.isdigit() and int(port) > 65_535:
            raise given.refuse("origins.allowed", f"{origin} has a port above 65535")


def _files_that_open(given: Checked) -> None:
    settings = given.settings
    named = {
        "tls.certificate": settings.tls.certificate,
        "tls.key": settings.tls.key,
        "tokens.jwks_file": settings.tokens.jwks_file,
        "tokens.pem_file": settings.tokens.pem_file,
        "redis.ca_file": settings.redis.ca_file,
        "tokens.issuers_file": settings.tokens.issuers_file,
        "tokens.ca_file": settings.tokens.ca_file,
    }
    for key, path in named.items():
        if not path:
            continue
        try:
            open(path, "rb").close()
        except (OSError, ValueError) as error:
            raise given.refuse(key, f"{path} cannot be read: {reason(error)}") from error
    if settings.tls.key:
        refuse_open_file("tls.key", given.source("tls.key"), settings.tls.key)
    if settings.tokens.hs256 and settings.tokens.jwks_file:
        refuse_open_file("tokens.jwks_file", given.source("tokens.jwks_file"), settings.tokens.jwks_file)


def _heartbeats_in_a_lease(given: Checked) -> None:
    presence = given.settings.presence
    if presence.lease < 2 * presence.heartbeat:
        raise given.refuse("presence.lease", "must last for at least two heartbeats, so that one may be missed")
    if presence.typing_silent_above < presence.typing_damped_above:
        raise given.refuse(
            "presence.typing_silent_above", f"may be no less than typing_damped_above, {presence.typing_damped_above}"
        )


def _memory_to_begin_with(given: Checked) -> None:
    if 0 < given.settings.limits.memory_bytes < LEAST_MEMORY_BYTES:
        raise given.refuse(
            "limits.memory_bytes", f"a worker needs {LEAST_MEMORY_BYTES} to begin with; give it more, or 0 for no bound"
        )


def _bus(given: Checked) -> None:
    settings = given.settings
    if settings.bus.kind == "local" and settings.workers:
        raise given.refuse("bus.kind", "local is for one process, without workers; leave it at auto")
    if settings.bus.kind == "redis" and not settings.redis.url:
        raise given.refuse("redis.url", "say where Redis is, or in redis.url_file, or let bus.kind be postgresql")


def _proxies(given: Checked) -> None:
    proxies = given.settings.proxies
    for entry in proxies.trusted:
        try:
            trusted_network(entry)
        except ValueError as error:
            raise given.refuse("proxies.trusted", str(error)) from None
    if proxies.proxy_protocol and not proxies.trusted:
        raise given.refuse("proxies.proxy_protocol", "is for trusted proxies alone: name them in proxies.trusted")


def _cache(given: Checked) -> None:
    settings = given.settings
    if settings.cache.kind == "redis" and not settings.redis.url:
        raise given.refuse("redis.url", "say where Redis is, or in redis.url_file, or leave cache.kind at off")


RULES: tuple[Callable[[Checked], None], ...] = (
    _one_place_to_listen,
    _whole_tls,
    _no_plain_text_abroad,
    _try_out_brings_its_own,
    _tokens,
    _database,
    _master_keys,
    _sizes_that_fit,
    _ports_apart,
    _contacts,
    _origin_ports,
    _files_that_open,
    _heartbeats_in_a_lease,
    _memory_to_begin_with,
    _bus,
    _proxies,
    _cache,
)
