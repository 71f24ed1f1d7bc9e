"""Whose address counts: for limits, for the log, and for whoever asks later."""

import re

import pytest
from twisted.internet.address import IPv4Address, UNIXAddress
from twisted.logger import LogEvent
from twisted.web.http_headers import Headers

from chatd.edge.clients import Clients, Peer, Unnamed
from chatd.handlers.catalogue import DECLARATIONS
from chatd.settings.model import Proxies, Settings
from chatd.wire.commands import Done
from tests.kit.visitor import RecordingRouter, Visitor, WaitingRouter, World, request, settings

PING = [declaration for declaration in DECLARATIONS if declaration.name == "ping"]
"""To make the routes of all commands would take longer than these tests."""
PROXY, CLIENT, OTHER, STRANGER = "127.0.0.1", "192.0.2.7", "192.0.2.8", "198.51.100.1"


def world(router: RecordingRouter | None = None) -> World:
    """One connection of an address, and no more."""
    limits = {"max_connections_per_address": 1}
    chosen = router or RecordingRouter()
    chosen.declarations = PING
    return World(settings=settings(proxies={"trusted": [PROXY]}, limits=limits), router=chosen)


def counted(world: World) -> dict[str, int]:
    return world.by_address


def ask(visitor: Visitor, forwarded: str = "", **headers: str) -> int:
    return visitor.ask("GET", "/v1/ping", X_Forwarded_For=forwarded, **headers).status


# -- a trusted proxy, by X-Forwarded-For --


def test_each_request_of_a_proxys_connection_counts_for_its_own_client() -> None:
    router = WaitingRouter()
    here = world(router=router)
    proxy, same = here.visitor(PROXY), here.visitor(PROXY)
    assert counted(here) == {}
    proxy.send(request("GET", "/v1/ping", X_Forwarded_For=CLIENT))
    assert counted(here) == {CLIENT: 1}
    answer = same.ask("GET", "/v1/ping", X_Forwarded_For=f"{STRANGER}, {CLIENT}")
    assert (answer.status, answer.code, same.closed) == (429, "rate_limited", False)
    assert ("from this address" in answer.problem["detail"], here.admission.refused) == (True, 1)
    router.answers[0].callback(Done())
    assert (proxy.answer().status, counted(here)) == (200, {})
    proxy.send(request("GET", "/v1/ping", X_Forwarded_For=OTHER))
    same.send(request("GET", "/v1/ping", X_Forwarded_For=CLIENT))
    assert counted(here) == {OTHER: 1, CLIENT: 1}
    proxy.hang_up()
    same.hang_up()
    assert (counted(here), here.admission.connections) == ({}, 0)


def test_a_proxy_that_names_nobody_speaks_for_itself() -> None:
    router = WaitingRouter()
    here = world(router=router)
    here.visitor(PROXY).send(request("GET", "/v1/ping"))
    assert counted(here) == {PROXY: 1}


def test_a_proxy_may_keep_more_connections_in_store_than_a_client_may_have() -> None:
    here = world()
    visitors = [here.visitor(PROXY) for _ in range(10)]
    assert [ask(visitor, f"192.0.2.{number}") for number, visitor in enumerate(visitors)] == [200] * 10


def test_several_headers_are_one_list() -> None:
    router = WaitingRouter()
    here = world(router=router)
    here.visitor(PROXY).send(request("GET", "/v1/ping", X_Forwarded_For=f"{STRANGER}\r\nX-Forwarded-For: {CLIENT}"))
    assert counted(here) == {CLIENT: 1}


# -- anybody else --


@pytest.mark.parametrize("header", ["X_Forwarded_For", "Forwarded", "X_Real_IP"])
def test_what_a_stranger_says_about_itself_changes_nothing(header: str, logged: list[LogEvent]) -> None:
    here = world()
    visitor = here.visitor(STRANGER)
    assert visitor.ask("GET", "/v1/ping", **{header: CLIENT}).status == 200
    assert counted(here) == {STRANGER: 1}
    refused = here.visitor(STRANGER)
    refused.send(request("GET", "/v1/ping", **{header: OTHER}))
    assert (refused.answer().code, refused.closed) == ("rate_limited", True)
    assert {event["client"] for event in logged if event.get("path") == "/v1/ping"} == {STRANGER}


def test_a_trusted_proxys_forwarded_header_is_not_looked_at(logged: list[LogEvent]) -> None:
    """Proxies that know X-Forwarded-For alone let the other one pass as the client wrote it."""
    assert world().visitor(PROXY).ask("GET", "/v1/ping", Forwarded=f"for={STRANGER}").status == 200
    assert [event["client"] for event in logged if event.get("path") == "/v1/ping"] == [PROXY]


@pytest.mark.parametrize(
    ("trusted", "address", "peer"),
    [
        ((), IPv4Address("TCP", PROXY, 1), Peer(PROXY, False)),
        ((PROXY,), IPv4Address("TCP", PROXY, 1), Peer(PROXY, True)),
        ((PROXY,), UNIXAddress(None), Peer("", False)),
        (("unix",), UNIXAddress(None), Peer("", True)),
        (("unix", PROXY), Unnamed(), Peer("", False)),
    ],
)
def test_who_is_connected(trusted: tuple[str, ...], address: object, peer: Peer) -> None:
    assert Clients(Settings(proxies=Proxies(trusted=trusted))).peer(address) == peer


def test_over_a_trusted_unix_socket_the_client_is_whom_the_proxy_names() -> None:
    clients = Clients(Settings(proxies=Proxies(trusted=("unix",))))
    peer = clients.peer(UNIXAddress(None))
    assert clients.behind(peer, Headers({b"X-Forwarded-For": [CLIENT.encode()]})) == CLIENT
    assert clients.behind(peer, Headers()) == ""


# -- request ids --


def test_every_answer_names_its_request_and_so_does_the_log(logged: list[LogEvent]) -> None:
    here = world()
    ids = [here.ask("GET", path).headers["X-Request-Id"] for path in ("/v1/ping", "/v1/nothing", "/healthz")]
    assert len(set(ids)) == 3
    assert all(re.fullmatch("[0-9a-f]{32}", one) for one in ids)
    assert [event["request"] for event in logged if "status" in event] == ids


def test_a_command_is_carried_out_under_the_id_of_its_request() -> None:
    here = world()
    answer = here.ask("GET", "/v1/ping")
    assert [caller.id for caller in here.router.callers] == [answer.headers["X-Request-Id"]]


@pytest.mark.parametrize(
    ("host", "given", "taken"),
    [
        (PROXY, "abc-1.2_X", True),
        (PROXY, "a" * 64, True),
        (PROXY, "a" * 65, False),
        (PROXY, "-a", False),
        (PROXY, "a b", False),
        (PROXY, "a\x1b[31m", False),
        (PROXY, "one\r\nX-Request-Id: two", False),
        (STRANGER, "abc-1.2_X", False),
    ],
)
def test_an_id_is_taken_from_a_trusted_proxy_alone_and_only_if_it_is_harmless(
    host: str, given: str, taken: bool
) -> None:
    answer = world().visitor(host).ask("GET", "/v1/ping", X_Request_Id=given)
    assert (answer.headers["X-Request-Id"] == given) is taken
