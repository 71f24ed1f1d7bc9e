"""Which web pages may connect: what a browser says in Origin, held against Host or a list (RFC 6454).

A page of another site that a person visits could otherwise open a socket in that person's name. Only browsers send
Origin, and they send it truthfully, so a client without one is none of this check's business.
"""

import re
from collections.abc import Iterable
from typing import Final

from chatd.errors import Forbidden

_DEFAULT_PORTS: Final = {"http": 80, "https": 443}
_HOST: Final = r"(?P<host>\[[0-9a-f:.]+\]|[a-z0-9._-]+)(?::(?P<port>[1-9][0-9]{0,4}))?"
_AUTHORITY: Final = re.compile(_HOST, re.ASCII)
_ORIGIN: Final = re.compile(rf"(?P<scheme>[a-z][a-z0-9+.-]*)://{_HOST}", re.ASCII)


def check_origin(origin: str | None, host: str, secure: bool, allowed: Iterable[str]) -> None:
    """Raise Forbidden unless a request may be answered, by the rules of :func:`origin_allowed`."""
    if not origin_allowed(origin, host, secure, allowed):
        raise Forbidden("Pages of this origin may not connect.")


def origin_allowed(origin: str | None, host: str, secure: bool, allowed: Iterable[str]) -> bool:
    """Whether a request with this Origin header may be answered.

    ``origin`` is None where there is no such header; ``host`` is the Host header; ``secure`` says whether the client
    came over TLS, ended here or at a trusted proxy. ``allowed`` are the configured origins, and only they count if
    there are any; without them a page may come from the scheme, host and port that it connects to. A missing port is
    the scheme's default, on either side. ``null``, several origins, and anything that is no plain origin are refused.
    """
    if origin is None:
        return True
    asked = canonical_origin(origin)
    if asked is None:
        return False
    configured = {canonical_origin(entry) for entry in allowed}
    return asked in (configured or {_same_origin(host, secure)})


def canonical_origin(text: str) -> str | None:
    """The origin in lower case with its port written out, or None where that is not an origin, as with ``null``."""
    match = _ORIGIN.fullmatch(text.lower()) if text.isascii() else None
    if match is None:
        return None
    return _canonical(match["scheme"], match)


def _same_origin(host: str, secure: bool) -> str | None:
    match = _AUTHORITY.fullmatch(host.lower()) if host.isascii() else None
    return None if match is None else _canonical("https" if secure else "http", match)


def _canonical(scheme: str, match: re.Match[str]) -> str | None:
    port = int(match["port"]) if match["port"] else _DEFAULT_PORTS.get(scheme)
    if port is not None and port > 65_535:
        return None
    return f"{scheme}://{match['host']}:{port or ''}"
