"""A page may connect from where it is served, or from a configured origin, and from nowhere that only looks so."""

import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from chatd.security.origins import canonical_origin, origin_allowed
from chatd.settings.model import ORIGIN

CHAT = "https://chat.example.com"


@pytest.mark.parametrize("allowed", [(), (CHAT,)])
def test_a_client_without_an_origin_is_no_browser(allowed: tuple[str, ...]) -> None:
    assert origin_allowed(None, "chat.example.com", True, allowed)


@pytest.mark.parametrize(
    ("origin", "host", "secure"),
    [
        (CHAT, "chat.example.com", True),
        (CHAT, "chat.example.com:443", True),
        (f"{CHAT}:443", "chat.example.com", True),
        (f"{CHAT}:8443", "chat.example.com:8443", True),
        ("http://chat.example.com", "chat.example.com:80", False),
        ("http://127.0.0.1:8443", "127.0.0.1:8443", False),
        ("http://[::1]:8443", "[::1]:8443", False),
        ("HTTPS://Chat.Example.Com", "CHAT.example.com", True),
    ],
)
def test_without_a_list_a_page_may_come_from_where_it_connects_to(origin: str, host: str, secure: bool) -> None:
    assert origin_allowed(origin, host, secure, ())


@pytest.mark.parametrize(
    ("origin", "host", "secure"),
    [
        (CHAT, "chat.example.com", False),
        ("http://chat.example.com", "chat.example.com", True),
        (CHAT, "chat.example.com:8443", True),
        (f"{CHAT}:8443", "chat.example.com", True),
        (CHAT, "", True),
        (CHAT, "chat.example.com,evil.example", True),
        (CHAT, "evil@chat.example.com", True),
        ("https://localhost", "127.0.0.1", True),
        ("custom://chat.example.com", "chat.example.com", True),
    ],
)
def test_without_a_list_another_scheme_host_or_port_is_refused(origin: str, host: str, secure: bool) -> None:
    assert not origin_allowed(origin, host, secure, ())


@pytest.mark.parametrize(
    ("origin", "configured"),
    [
        (CHAT, CHAT),
        (CHAT, f"{CHAT}:443"),
        (f"{CHAT}:443", CHAT),
        ("http://a.example", "http://a.example:80"),
        ("https://a.example:8443", "https://a.example:8443"),
        ("https://chat.example.com", "HTTPS://CHAT.EXAMPLE.COM"),
        ("capacitor://localhost", "capacitor://localhost"),
        ("https://[2001:db8::1]", "https://[2001:DB8::1]:443"),
    ],
)
def test_a_configured_origin_is_let_in_with_its_schemes_port(origin: str, configured: str) -> None:
    assert origin_allowed(origin, "elsewhere.example", False, ["https://other.example", configured])


@pytest.mark.parametrize(
    "origin",
    [
        "null",
        "",
        "*",
        "http://chat.example.com",
        "https://chat.example.com:8443",
        "https://chat.example.com:80",
        "https://chat.example.com:0443",
        "https://chat.example.com:",
        "https://chat.example.com:65979",  # 443 when cut to 16 bits
        "https://chat.example.com/",
        "https://chat.example.com/x",
        "https://chat.example.com?",
        "https://chat.example.com#",
        "https://chat.example.com.",
        "https://chat.example.com.evil.example",
        "https://chat.example.com@evil.example",
        "https://evil.example#chat.example.com",
        "https://evil-chat.example.com",
        "https://chatXexample.com",
        "https://example.com",
        "https://sub.chat.example.com",
        "https://chat.example.com https://evil.example",
        "https://evil.example, https://chat.example.com",
        " https://chat.example.com",
        "https://chat.example.com\n",
        "https://chat.example.com\x00",
        "https://сhat.example.com",  # noqa: RUF001 - a Cyrillic es is the point
        "https://chat。example。com",
        "\u212aattps://chat.example.com",
        "https:chat.example.com",
        "//chat.example.com",
        "chat.example.com",
        "wss://chat.example.com",
        "file://",
    ],
)
def test_null_and_look_alikes_are_refused(origin: str) -> None:
    assert not origin_allowed(origin, "chat.example.com", True, [CHAT])
    assert not origin_allowed(origin, "chat.example.com", True, ())


def test_letters_outside_ascii_that_fold_into_it_are_refused() -> None:
    """The Kelvin sign becomes a k in lower case."""
    assert not origin_allowed("https://\u212aiosk.example", "kiosk.example", True, ["https://kiosk.example"])
    assert not origin_allowed("https://kiosk.example", "\u212aiosk.example", True, ())


def test_with_a_list_the_own_host_counts_no_more() -> None:
    """Host is what the client says, so a name that was rebound to this server proves nothing."""
    assert not origin_allowed("https://rebound.example", "rebound.example", True, [CHAT])


@pytest.mark.parametrize("origin", ["null", CHAT])
def test_a_list_without_a_usable_origin_lets_nobody_in(origin: str) -> None:
    assert not origin_allowed(origin, "chat.example.com", True, ["null"])


@pytest.mark.parametrize("host", ["", "null", "a b"])
def test_no_origin_is_like_no_host(host: str) -> None:
    assert not origin_allowed("null", host, True, ())


@pytest.mark.parametrize(("port", "canonical"), [(65_535, "https://a:65535"), (65_536, None)])
def test_a_port_fits_into_16_bits(port: int, canonical: str | None) -> None:
    assert canonical_origin(f"https://a:{port}") == canonical


@given(
    scheme=st.from_regex(r"[A-Za-z][A-Za-z0-9+.-]{0,8}", fullmatch=True),
    host=st.from_regex(r"\[[0-9A-Fa-f:.]{1,8}\]|[A-Za-z0-9._-]{1,8}", fullmatch=True),
    port=st.one_of(st.just(""), st.integers(1, 65_535).map(":{}".format)),
)
@settings(max_examples=50)
def test_an_origin_that_the_configuration_takes_is_let_in(scheme: str, host: str, port: str) -> None:
    configured = f"{scheme}://{host}{port}"
    assert re.fullmatch(ORIGIN, configured)
    assert origin_allowed(configured, "elsewhere.example", True, [configured])


@given(st.text())
def test_what_is_let_in_is_written_like_a_configured_origin(origin: str) -> None:
    assert not origin_allowed(origin, "chat.example.com", True, [CHAT]) or re.fullmatch(ORIGIN, origin)
