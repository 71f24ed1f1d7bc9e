"""Who may ask over HTTP: tokens, devices, and pages of other sites."""

import pytest

from tests.kit.visitor import TOKEN, World, request, settings


@pytest.fixture
def world() -> World:
    return World()


# -- who asks --


@pytest.mark.parametrize("scheme", ["Bearer", "bearer", "BEARER"])
def test_the_token_tells_who_asks(scheme: str, world: World) -> None:
    world.ask("GET", "/v1/ping", Authorization=f"{scheme} token-of-carol", Chatd_Device="phone")
    assert [(caller.user, caller.device) for caller in world.router.callers] == [("carol", "phone")]


def test_without_a_named_device_it_is_the_default_one(world: World) -> None:
    world.ask("GET", "/v1/ping")
    assert [caller.device for caller in world.router.callers] == ["default"]


@pytest.mark.parametrize("device", ["a b", "x" * 65, "ü", "a,b"])
def test_an_impossible_device_is_refused_naming_the_header(device: str, world: World) -> None:
    problem = world.ask("GET", "/v1/ping", Chatd_Device=device).problem
    assert (problem["code"], "`Chatd-Device`" in problem["detail"]) == ("invalid", True)


@pytest.mark.parametrize(
    "credentials", ["", "Bearer", "Bearer nonsense", "Basic YWxpY2U6eA==", TOKEN, f"Bearer {TOKEN}, Bearer {TOKEN}"]
)
def test_without_a_token_that_holds_nothing_is_carried_out(credentials: str, world: World) -> None:
    answer = world.ask("GET", "/v1/ping", Authorization=credentials)
    assert (answer.status, answer.code, answer.headers["WWW-Authenticate"]) == (401, "unauthorized", "Bearer")
    assert world.router.carried_out == []


def test_two_authorization_headers_are_none(world: World) -> None:
    visitor = world.visitor()
    visitor.send(request("GET", "/v1/ping", Authorization=f"Bearer {TOKEN}\r\nAuthorization: Bearer {TOKEN}"))
    assert visitor.answer().code == "unauthorized"


def test_a_token_is_never_taken_from_the_query_or_a_cookie(world: World) -> None:
    assert world.ask("GET", f"/v1/ping?access_token={TOKEN}", Authorization="").status == 401
    assert world.ask("GET", "/v1/ping", Authorization="", Cookie=f"access_token={TOKEN}; token={TOKEN}").status == 401
    assert world.verifier.asked == []


def test_a_connection_counts_as_authenticated_once_it_has_shown_a_token(world: World) -> None:
    visitor = world.visitor()
    visitor.ask("GET", "/v1/ping", Authorization="Bearer nonsense")
    assert world.admission.unauthenticated == 1
    for _ in range(2):
        visitor.ask("GET", "/v1/ping")
        assert (world.admission.unauthenticated, world.admission.connections) == (0, 1)
    visitor.hang_up()
    assert (world.admission.unauthenticated, world.admission.connections) == (0, 0)


def test_each_request_is_a_caller_of_its_own(world: World) -> None:
    """What one request waits for holds no other up, and each can be told apart in the log."""
    visitor = world.visitor()
    visitor.ask("GET", "/v1/ping")
    visitor.ask("GET", "/v1/ping")
    first, second = world.router.callers
    assert first.id != second.id
    assert first.lanes is not second.lanes
    assert first.delivery is None


# -- pages of other sites --


def test_a_page_of_the_same_origin_may_ask(world: World) -> None:
    answer = world.ask("GET", "/v1/ping", Origin="http://chat.example.com")
    assert (answer.status, answer.headers["Access-Control-Allow-Origin"]) == (200, "http://chat.example.com")


@pytest.mark.parametrize(
    "origin", ["https://evil.example", "null", "http://chat.example.com.evil.example", "http://chat.example.com:81"]
)
def test_a_page_of_another_origin_may_not(origin: str, world: World) -> None:
    for method in ("GET", "OPTIONS"):
        answer = world.ask(method, "/v1/ping", Origin=origin)
        assert (answer.status, answer.headers["Access-Control-Allow-Origin"]) == (403, None)
    assert (world.router.carried_out, world.verifier.asked) == ([], [])


def test_behind_a_proxy_that_ends_tls_the_same_origin_is_https() -> None:
    world = World(settings=settings(behind_proxy=True))
    assert world.ask("GET", "/v1/ping", Origin="https://chat.example.com").status == 200
    assert world.ask("GET", "/v1/ping", Origin="http://chat.example.com").status == 403


def test_a_page_of_a_configured_origin_may_ask_after_a_preflight() -> None:
    """The Fetch standard's CORS protocol: without these headers the browser asks nothing, or shows nothing."""
    world = World(settings=settings(origins={"allowed": ["https://app.example.com"]}))
    asks = {"Origin": "https://app.example.com", "Access-Control-Request-Method": "POST", "Authorization": ""}
    preflight = world.ask("OPTIONS", "/v1/messages", **asks)
    assert preflight.status == 204
    assert preflight.headers["Access-Control-Allow-Origin"] == "https://app.example.com"
    assert "POST" in preflight.headers["Access-Control-Allow-Methods"]
    assert preflight.headers["Access-Control-Allow-Headers"] == "Authorization, Content-Type, Chatd-Device"
    assert preflight.headers["Vary"] == "Origin"
    answer = world.ask("GET", "/v1/ping", Origin="https://app.example.com")
    assert answer.headers["Access-Control-Allow-Origin"] == "https://app.example.com"
    assert world.ask("GET", "/v1/nothing", Origin="https://app.example.com").headers["Access-Control-Allow-Origin"]


def test_cookies_are_never_asked_for(world: World) -> None:
    answer = world.ask("GET", "/v1/ping", Origin="http://chat.example.com")
    assert answer.headers["Access-Control-Allow-Credentials"] is None
    assert answer.headers["Set-Cookie"] is None
