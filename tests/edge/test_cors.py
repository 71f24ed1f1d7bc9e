"""What pages of other sites may ask over HTTP, and read of the answer (the Fetch standard's CORS protocol)."""

import pytest

from chatd.handlers.catalogue import DECLARATIONS
from tests.kit.visitor import Answer, World, settings

PAGE = "https://app.example.com"
CORS = "Access-Control-"


@pytest.fixture(scope="module")
def world() -> World:
    return World(settings=settings(origins={"allowed": [PAGE]}))


def told(answer: Answer) -> dict[str, str]:
    """What the answer tells a browser about pages."""
    return {name.removeprefix(CORS): value for name, value in answer.headers.items() if name.startswith(CORS)}


def preflight(world: World, path: str, origin: str = PAGE) -> Answer:
    asks = {
        "Origin": origin,
        "Access_Control_Request_Method": "POST",
        "Access_Control_Request_Headers": "authorization",
    }
    return world.ask("OPTIONS", path, Authorization="", **asks)


@pytest.mark.parametrize("declaration", DECLARATIONS, ids=lambda declaration: declaration.name)
def test_every_route_tells_an_allowed_page_what_it_may_ask(declaration, world: World) -> None:
    path = declaration.route.path.replace("{seq}", "1").replace("{", "").replace("}", "")
    answer = preflight(world, path)
    assert (answer.status, answer.headers["Vary"]) == (204, "Origin")
    found = told(answer)
    assert declaration.route.method in found.pop("Allow-Methods").split(", ")
    assert found.pop("Expose-Headers")
    assert found == {
        "Allow-Origin": PAGE,
        "Allow-Headers": "Authorization, Content-Type, Chatd-Device",
        "Max-Age": "600",
    }


@pytest.mark.parametrize(
    "origin", ["https://evil.example", "null", "http://app.example.com", f"{PAGE}:444", f"{PAGE}.evil"]
)
def test_any_other_page_is_told_nothing_and_asks_nothing(origin: str, world: World) -> None:
    for answer in (preflight(world, "/v1/messages", origin), world.ask("GET", "/v1/ping", Origin=origin)):
        assert (answer.status, answer.code, answer.headers["Vary"]) == (403, "forbidden", "Origin")
        assert told(answer) == {}


def test_an_allowed_page_may_read_answers_and_errors_and_what_they_say_of_waiting(world: World) -> None:
    for path, status in (("/v1/ping", 200), ("/v1/nothing", 404), ("/v1/conversations?limit=x", 400)):
        answer = world.ask("GET", path, Origin=PAGE)
        found = told(answer)
        assert (answer.status, found["Allow-Origin"]) == (status, PAGE)
        read = found["Expose-Headers"].split(", ")
        assert {"RateLimit", "Retry-After", "WWW-Authenticate", "X-Request-Id"} <= set(read)


def test_no_page_is_ever_told_that_cookies_count(world: World) -> None:
    for answer in (preflight(world, "/v1/messages"), world.ask("GET", "/v1/ping", Origin=PAGE, Cookie="a=b")):
        assert "Allow-Credentials" not in told(answer)


def test_what_is_asked_by_no_page_is_answered_without_a_word_of_pages(world: World) -> None:
    """But a cache that keeps it anyway keeps it apart."""
    answer = world.ask("GET", "/v1/ping")
    assert (answer.status, told(answer), answer.headers["Vary"]) == (200, {}, "Origin")


def test_a_plain_question_what_may_be_asked_is_no_preflight(world: World) -> None:
    answer = world.ask("OPTIONS", "/v1/ping", Origin=PAGE)
    assert answer.headers["Allow"] == "GET, HEAD, OPTIONS"
    assert "Allow-Methods" not in told(answer)
