"""What a WebSocket handshake has to show."""

import pytest

from chatd.edge.handshake import Handshake, bearer_token, device_name, shake_hands
from chatd.errors import Forbidden, Invalid, Unauthorized
from tests.kit.at_once import at_once
from tests.kit.visitor import TOKEN, World, settings

SPOKEN = ["chatd.v1.json", "chatd.v1.msgpack"]
HOST = "chat.example.com"
ELSEWHERE = "https://evil.example.com"


def shake(world: World | None = None, *, offered: list[str] = SPOKEN, secure: bool = True, **headers: str) -> Handshake:
    """``Chatd_Device`` stands for ``Chatd-Device``."""
    named = {"host": HOST} | {name.lower().replace("_", "-"): value for name, value in headers.items()}
    return at_once(shake_hands((world or World()).site.gateway, named, offered, SPOKEN, secure, "192.0.2.1"))


# -- the token --


@pytest.mark.parametrize("header", ["Bearer abc", "bearer abc", "BEARER abc", "Bearer   abc", " Bearer abc "])
def test_a_token_follows_its_scheme_in_any_case(header: str) -> None:
    assert bearer_token(header) == "abc"


@pytest.mark.parametrize(
    "header",
    [
        "",
        " ",
        "abc",
        "Bearer",
        "Bearer ",
        "Bearerabc",
        "Bearer\tabc",
        "Bearer a b",
        "Bearer abc, Bearer def",
        "Basic abc",
    ],
)
def test_any_other_header_is_unauthorized_and_not_quoted(header: str) -> None:
    with pytest.raises(Unauthorized) as caught:
        bearer_token(header)
    assert "abc" not in caught.value.detail


def test_without_a_header_there_is_no_token() -> None:
    assert bearer_token(None) is None


def test_a_handshake_with_a_token_says_who_it_is() -> None:
    hands = shake(Authorization=f"Bearer {TOKEN}")
    assert hands.claims is not None
    assert hands.claims.user == "alice"


def test_one_without_leaves_that_open() -> None:
    assert shake().claims is None


@pytest.mark.parametrize("header", ["Bearer no-token-of-anybody", "Basic x", ""])
def test_a_token_that_does_not_hold_is_refused_however_well_the_rest_may_be(header: str) -> None:
    with pytest.raises(Unauthorized):
        shake(Authorization=header)


# -- the device --


@pytest.mark.parametrize(
    ("header", "device"), [(None, "default"), ("phone", "phone"), (" A-z0.9_ ", "A-z0.9_"), ("x" * 64, "x" * 64)]
)
def test_a_device_is_named_or_else_the_default_one(header: str | None, device: str) -> None:
    assert device_name(header) == device


@pytest.mark.parametrize("header", ["", " ", "a b", "x" * 65, "é", "a/b", "a\x00", "a\nb"])
def test_a_device_that_cannot_be_named_so_is_invalid(header: str) -> None:
    with pytest.raises(Invalid, match="Chatd-Device"):
        device_name(header)


def test_a_handshake_names_its_device() -> None:
    assert shake(Chatd_Device="phone").device == "phone"
    with pytest.raises(Invalid):
        shake(Chatd_Device="the phone")


# -- the subprotocol --


@pytest.mark.parametrize(
    ("offered", "chosen"),
    [
        (["chatd.v1.json"], "chatd.v1.json"),
        (["chatd.v1.msgpack"], "chatd.v1.msgpack"),
        (["chatd.v1.msgpack", "chatd.v1.json"], "chatd.v1.msgpack"),
        (["chatd.v2.json", "chatd.v1.json", "chatd.v1.msgpack"], "chatd.v1.json"),
    ],
)
def test_the_first_offered_that_is_spoken_here_is_chosen(offered: list[str], chosen: str) -> None:
    assert shake(offered=offered).subprotocol == chosen


@pytest.mark.parametrize("offered", [[], ["chat"], ["CHATD.V1.JSON"], [""]])
def test_without_one_of_them_the_handshake_is_refused_and_says_which_there_are(offered: list[str]) -> None:
    with pytest.raises(Invalid, match=", ".join(SPOKEN)):
        shake(offered=offered)


# -- the page --


@pytest.mark.parametrize(
    ("origin", "secure"),
    [(f"https://{HOST}", True), (f"https://{HOST}:443", True), (f"http://{HOST}", False), (f"http://{HOST}:80", False)],
)
def test_pages_of_the_same_origin_may_connect(origin: str, secure: bool) -> None:
    shake(Origin=origin, secure=secure)


@pytest.mark.parametrize(
    "origin", [ELSEWHERE, f"http://{HOST}", f"https://{HOST}:8443", f"https://{HOST}.evil.com", "null", "", "*"]
)
def test_others_may_not_and_their_token_is_not_even_looked_at(origin: str) -> None:
    world = World()
    with pytest.raises(Forbidden):
        shake(world, Origin=origin, Authorization=f"Bearer {TOKEN}")
    assert world.verifier.asked == []


def test_where_origins_are_configured_only_those_may() -> None:
    world = World(settings=settings(origins={"allowed": [ELSEWHERE]}))
    shake(world, Origin=ELSEWHERE)
    shake(world)
    with pytest.raises(Forbidden):
        shake(world, Origin=f"https://{HOST}")


def test_without_a_host_no_page_is_of_the_same_origin() -> None:
    with pytest.raises(Forbidden):
        shake(Origin="https://", Host="")
