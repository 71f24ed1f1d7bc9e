"""What is served where, who is let in, and how a site winds down."""

import pytest
from twisted.logger import LogEvent, LogLevel

from chatd.edge.descriptions import descriptions
from chatd.edge.site import RETRY_AFTER_MS, ChatSite
from chatd.wire.commands import Done
from tests.kit.visitor import Visitor, WaitingRouter, World, request, settings

DOCUMENTS = ["/", "/healthz", "/readyz", "/v1/openapi.json", "/v1/asyncapi.json"]


# -- documents --


@pytest.mark.parametrize("path", DOCUMENTS)
def test_a_document_needs_no_token(path: str) -> None:
    answer = World().ask("GET", path, Authorization="")
    assert (answer.status, answer.headers["Content-Type"], answer.headers["Server"]) == (200, "application/json", None)
    assert answer.json


@pytest.mark.parametrize("path", DOCUMENTS)
def test_a_document_is_only_read(path: str) -> None:
    world = World()
    assert world.ask("HEAD", path).body == b""
    assert world.ask("OPTIONS", path).headers["Allow"] == "GET, HEAD, OPTIONS"
    refused = world.ask("POST", path, {})
    assert (refused.code, refused.headers["Allow"]) == ("method_not_allowed", "GET, HEAD, OPTIONS")


def test_the_index_names_what_there_is() -> None:
    world = World()
    index = world.ask("GET", "/").json
    paths = [*index["descriptions"].values(), *index["health"].values()]
    assert [world.ask("GET", path).status for path in paths] == [200] * 4
    assert world.ask("GET", index["websocket"]).status == 426
    assert "version" not in str(index)


def test_the_descriptions_are_served_as_they_are_kept() -> None:
    world = World()
    for name, content in descriptions().items():
        assert world.ask("GET", f"/v1/{name}").body == content


def test_it_is_alive_even_while_it_is_not_ready() -> None:
    world = World(ready=False)
    assert world.ask("GET", "/healthz").status == 200
    assert (world.ask("GET", "/readyz").status, world.ask("GET", "/readyz").json["status"]) == (503, "not ready")
    world.ready = True
    assert world.ask("GET", "/readyz").status == 200


@pytest.mark.parametrize("path", ["/v1", "/favicon.ico", "/healthz/", "//", "/../etc/passwd", "/%2e%2e/", "*"])
def test_anything_else_is_not_found(path: str) -> None:
    assert World().ask("GET", path).code == "not_found"


def test_a_path_that_fails_unforeseen_is_logged_and_answered(logged: list[LogEvent]) -> None:
    world = World()
    world.site.resource = None
    assert world.ask("GET", "/").code == "internal"
    assert [event["log_failure"].type for event in logged if "log_failure" in event] == [AttributeError]


def test_http_2_is_never_offered() -> None:
    assert World().site.acceptableProtocols() == [b"http/1.1"]


# -- who is let in --


def crowded(**limits: int) -> World:
    return World(settings=settings(limits=limits))


def refused(visitor: Visitor, code: str = "overloaded", status: int = 503) -> bool:
    answer = visitor.answer()
    assert (answer.status, answer.code, visitor.closed) == (status, code, True)
    return RETRY_AFTER_MS <= answer.problem["retry_after_ms"] <= 2 * RETRY_AFTER_MS


def test_sockets_above_the_limit_are_refused_at_once_and_not_counted() -> None:
    world = crowded(max_connections=2)
    first, _, third = (world.visitor(f"192.0.2.{number}") for number in range(3))
    assert refused(third)
    third.send(request("GET", "/healthz"))
    third.hang_up()
    assert (third.received, world.admission.connections) == (b"", 2)
    first.hang_up()
    assert world.visitor("192.0.2.4").ask("GET", "/healthz").status == 200


def test_so_are_those_of_one_address() -> None:
    world = crowded(max_connections_per_address=1)
    world.visitor("192.0.2.1")
    assert refused(world.visitor("192.0.2.1"), "rate_limited", 429)
    assert world.visitor("192.0.2.2").ask("GET", "/healthz").status == 200


def test_and_those_that_show_no_token() -> None:
    world = crowded(max_unauthenticated=1)
    visitor = world.visitor()
    assert refused(world.visitor())
    visitor.ask("GET", "/v1/ping")
    assert world.visitor().ask("GET", "/healthz").status == 200


def test_clients_that_find_no_room_are_told_to_come_back_at_different_times() -> None:
    world = crowded(max_connections=1)
    world.visitor()
    waits = {world.visitor().answer().problem["retry_after_ms"] for _ in range(10)}
    assert len(waits) > 1


# -- the log --


def test_a_request_leaves_no_query_and_no_token_in_the_log(logged: list[LogEvent]) -> None:
    World().ask("GET", "/v1/conversations?cursor=secret")
    events = [event for event in logged if event.get("path") == "/v1/conversations"]
    assert [(event["log_level"], event["status"], event["user"]) for event in events] == [
        (LogLevel.debug, 200, "alice")
    ]
    assert not any("secret" in str(event) or "token-of-alice" in str(event) for event in logged)


def test_starting_and_stopping_opens_no_file_and_leaves_no_timer() -> None:
    world = World()
    world.site.doStart()
    world.site.doStop()
    assert world.clock.getDelayedCalls() == []


# -- winding down --


@pytest.fixture
def slow() -> WaitingRouter:
    return WaitingRouter()


@pytest.fixture
def site(slow: WaitingRouter) -> ChatSite:
    return World(router=slow).site


def test_what_is_being_answered_is_answered_and_then_closed(slow: WaitingRouter, site: ChatSite) -> None:
    visitor = Visitor(site)
    visitor.send(request("GET", "/v1/ping") * 2)
    assert site.in_flight == 1
    site.go_away()
    assert not visitor.closed
    slow.answers[0].callback(Done())
    answer = visitor.answer()
    assert (answer.status, answer.headers["Connection"], visitor.closed) == (200, "close", True)
    assert site.in_flight == 0


def test_what_is_idle_is_closed(site: ChatSite) -> None:
    fresh, idle = Visitor(site), Visitor(site)
    idle.ask("GET", "/healthz")
    site.go_away()
    assert (fresh.closed, idle.closed) == (True, True)


def test_what_is_still_coming_is_answered_and_then_closed(site: ChatSite) -> None:
    visitor = Visitor(site)
    visitor.send(b"GET /healthz HTTP/1.1\r\nHo")
    site.go_away()
    visitor.send(b"st: x\r\n\r\n")
    answer = visitor.answer()
    assert (answer.status, answer.headers["Connection"], visitor.closed) == (200, "close", True)
