"""Where keys and answers about tokens may be fetched from."""

import re
from ipaddress import ip_address
from urllib.parse import urlsplit

_PLAIN = re.compile(r"[!-~]+")


def fetch_problem(url: str) -> str | None:
    """What is wrong with ``url`` as an address of an auth service, as the end of a sentence; None if nothing is.

    TLS is what tells the auth service from anybody else, so only this very machine may be asked without it.
    """
    if not _PLAIN.fullmatch(url) or "\\" in url:
        return "must be a URL in ASCII, such as https://auth.example.com/jwks.json"
    try:
        parts = urlsplit(url)
        host, _ = parts.hostname, parts.port
    except ValueError:
        return "must be a URL such as https://auth.example.com/jwks.json"
    if parts.scheme not in ("https", "http") or not host:
        return "must be a URL such as https://auth.example.com/jwks.json"
    if parts.username is not None or parts.password is not None:
        return "must be a URL without a user or a password in it"
    if parts.fragment:
        return "must be a URL without a #fragment"
    if parts.scheme == "http" and not _loopback(host):
        return "must be an https:// URL: without TLS anybody on the way can answer"
    return None


def _loopback(host: str) -> bool:
    try:
        return host == "localhost" or ip_address(host).is_loopback
    except ValueError:
        return False
