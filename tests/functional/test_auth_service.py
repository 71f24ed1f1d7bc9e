"""The server and the product's auth service over TLS: keys that change, a service that goes, tokens that end."""

import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from websockets.exceptions import InvalidStatus

from tests.kit.auth_service import CLIENT, ProductAuth
from tests.kit.clients import Client, HttpClient
from tests.kit.server import Server
from tests.kit.tokens import AuthService
from tests.kit.waiting import wait_for

EXPIRED, REVOKED, TRY_AGAIN, UNAUTHENTICATED = 4002, 4502, 1013, 4500
EVERY_S = 1.0
STALE_S = 3.0


@pytest.fixture
def product(tmp_path: Path) -> Iterator[ProductAuth]:
    with ProductAuth(tmp_path) as product:
        yield product


@pytest.fixture
def serve(start_server: Callable[..., Server], product: ProductAuth, tmp_path: Path) -> Callable[..., Server]:
    """Starts a server that trusts the product's auth service, and has its tokens introspected if ``asks``."""

    def serve(*, asks: bool = False, opaque: bool = False) -> Server:
        more = (f"every_seconds = {EVERY_S}", f"opaque = {'true' if opaque else 'false'}")
        introspection = product.introspection(tmp_path / "secret", *more) if asks else ""
        (tmp_path / "issuers.toml").write_text(product.table(introspection=introspection))
        tokens = {
            "issuers_file": str(tmp_path / "issuers.toml"),
            "ca_file": str(product.ca_file),
            "max_staleness": STALE_S,
        }
        return start_server({"tokens": tokens})

    return serve


def status(server: Server, token: str) -> int:
    return HttpClient(server.http_url, token).get("/v1/ping").status


def handshake_status(server: Server, token: str) -> int:
    with pytest.raises(InvalidStatus) as caught:
        Client(server.url, token)
    return caught.value.response.status_code


def close_code(server: Server, token: str) -> int:
    """With what a connection ends that shows the token in its first message."""
    with Client(server.url) as client:
        client.send("auth", token=token)
        return client.closed()[0]


def test_keys_are_found_by_discovery_and_may_change_without_a_restart(
    serve: Callable[..., Server], product: ProductAuth
) -> None:
    server = serve()
    old = product.token("alice")
    wait_for(lambda: status(server, old) == 200)
    product.rotate()
    new = product.token("alice")
    # The keys were fetched a moment ago: not again at once, whoever asks.
    answer = HttpClient(server.http_url, new).get("/v1/ping")
    assert (answer.status, answer.body["code"], answer.body["retryable"]) == (503, "unavailable", True)
    assert 1 <= int(answer.headers["Retry-After"]) <= 5
    wait_for(lambda: status(server, new) == 200)
    # Its key was withdrawn: that is told for certain once the keys have been looked for again.
    wait_for(lambda: status(server, old) == 401)
    assert close_code(server, old) in (UNAUTHENTICATED, TRY_AGAIN)
    assert product.asked == ["/.well-known/openid-configuration", "/jwks.json"] * 3
    assert new.rpartition(".")[2] not in server.log


def test_a_service_that_is_down_at_the_start_is_waited_for(serve: Callable[..., Server], product: ProductAuth) -> None:
    product.stop()
    server = serve()
    token = product.token("alice")
    answer = HttpClient(server.http_url, token).get("/v1/ping")
    assert (answer.status, answer.body["code"]) == (503, "unavailable")
    assert "Retry-After" in answer.headers
    assert handshake_status(server, token) == 503
    assert close_code(server, token) == TRY_AGAIN
    product.start()
    wait_for(lambda: status(server, token) == 200)
    assert "could not be fetched: ConnectionRefusedError" in server.log


def test_a_service_that_goes_or_talks_nonsense_later_leaves_its_keys_behind(
    serve: Callable[..., Server], product: ProductAuth
) -> None:
    server = serve()
    token = product.token("alice")
    wait_for(lambda: status(server, token) == 200)
    kept = product.keys[0]
    product.rotate()
    product.fault = "html"
    unknown = product.token("alice")
    complaint = "could not be fetched: the configuration that it publishes is not one strict JSON object"
    wait_for(lambda: status(server, unknown) == 503 and complaint in server.log)
    product.stop()
    assert status(server, token) == status(server, product.token("bob", key=kept)) == 200
    assert close_code(server, unknown) == TRY_AGAIN


def test_a_token_that_is_no_longer_active_ends_its_connections(
    serve: Callable[..., Server], product: ProductAuth
) -> None:
    server = serve(asks=True)
    token, other = product.token("alice"), product.token("alice")
    wait_for(lambda: status(server, token) == 200)
    with Client(server.url, token) as client, Client(server.url, other) as bystander:
        assert client.ask("ping")["type"] == "ok"
        product.deactivate(token)
        ended = time.monotonic()
        assert client.closed()[0] == REVOKED
        assert time.monotonic() - ended < EVERY_S + 1.0
        assert bystander.ask("ping")["type"] == "ok"
        error = bystander.ask("auth", token=token)["error"]
        assert (error["code"], error["detail"]) == ("unauthorized", "The token has been revoked.")
    assert status(server, token) == handshake_status(server, token) == 401
    assert close_code(server, token) == UNAUTHENTICATED
    assert set(product.credentials) == {CLIENT}


@pytest.mark.parametrize("fault", ["error", "html", "empty", "gone"])
def test_while_the_service_is_down_those_who_are_there_go_on_for_a_while(
    fault: str, serve: Callable[..., Server], product: ProductAuth
) -> None:
    server = serve(asks=True)
    token = product.token("alice")
    wait_for(lambda: status(server, token) == 200)
    with Client(server.url, token) as client:
        if fault == "gone":
            product.stop()
        else:
            product.fault = fault
        down = time.monotonic()
        answer = HttpClient(server.http_url, product.token("bob")).get("/v1/ping")
        assert (answer.status, answer.body["code"], answer.body["retryable"]) == (503, "unavailable", True)
        assert "Retry-After" in answer.headers
        assert client.ask("ping")["type"] == "ok"
        assert status(server, token) == 200
        assert client.closed()[0] == TRY_AGAIN
        assert time.monotonic() - down > STALE_S - EVERY_S
    product.fault = ""
    product.start() if fault == "gone" else None
    wait_for(lambda: status(server, token) == 200)


def test_opaque_tokens_are_taken_on_their_issuers_word(serve: Callable[..., Server], product: ProductAuth) -> None:
    server = serve(asks=True, opaque=True)
    token = product.opaque("alice", scope="chatd:revoke openid")
    wait_for(lambda: status(server, token) == 200)
    with Client(server.url, token) as client:
        assert client.hello["user"] == "alice"
        product.deactivate(token)
        assert client.closed()[0] == REVOKED
    unfit = [
        product.opaque("alice", aud="another"),
        product.opaque("alice", iss="https://elsewhere.example"),
        product.opaque("alice", exp=int(time.time()) - 1),
        product.opaque("alice", sub=7),
        "nobody-knows-it",
        "with space",
        product.token("alice") + "=",
    ]
    assert [status(server, one) for one in unfit] == [401] * len(unfit)
    assert status(server, product.token("alice")) == 200


def test_a_shown_token_is_told_of_its_end_and_lives_on_with_a_fresh_one(
    start_server: Callable[..., Server], auth: AuthService
) -> None:
    server = start_server({"tokens": {"expiring_notice": 3.0}})
    with (
        Client(server.url, auth.token("alice", lifetime=6.5)) as client,
        Client(server.url, auth.token("alice", lifetime=4.0)) as short,
    ):
        client.sync()
        short.sync()
        event = client.event()
        assert event["type"] == "token.expiring"
        assert 0 < event["expires_in_ms"] <= 3000
        assert client.ask("auth", token=auth.token("alice"))["type"] == "ok"
        assert client.event()["type"] == "hello"
        assert short.closed()[0] == EXPIRED
        assert short.read_events() == []
        assert client.ask("ping")["type"] == "ok"


def test_the_product_revokes_tokens_on_every_server_within_a_second(
    start_server: Callable[..., Server], auth: AuthService, dsn: str
) -> None:
    one, other = start_server(), start_server(dsn=dsn)
    token, fresh = auth.token("alice"), auth.token("alice")
    back_end = HttpClient(one.http_url, auth.token("back-end", scope="openid chatd:revoke"))
    refused = HttpClient(one.http_url, auth.token("mallory")).post("/v1/tokens/revoke", client_id="1", user="alice")
    assert (refused.status, refused.body["code"]) == (403, "forbidden")
    with Client(other.url, token) as client, Client(other.url, fresh) as bystander:
        bystander.sync()
        began = time.monotonic()
        first = back_end.post("/v1/tokens/revoke", client_id="1", token=token)
        assert first.status == 200
        assert client.closed()[0] == REVOKED
        assert time.monotonic() - began < 1.5
        assert bystander.ask("ping")["type"] == "ok"
        assert back_end.post("/v1/tokens/revoke", client_id="1", token=token).body == first.body
        assert back_end.post("/v1/tokens/revoke", client_id="2", user="alice").status == 200
        assert bystander.closed()[0] == REVOKED
    assert [status(server, shown) for server in (one, other) for shown in (token, fresh)] == [401] * 4
    assert handshake_status(other, fresh) == 401
    with Client(one.url, auth.token("back-end", scope="chatd:revoke")) as client:
        error = client.ask("token.revoke", client_id="3", token="nonsense")["error"]
        assert (error["code"], error["status"]) == ("unchanged", 409)
        assert client.ask("token.revoke", client_id="1", token=token)["seq"] == first.body["seq"]
    wait_for(lambda: status(one, auth.token("alice")) == 200)
    assert token.rpartition(".")[2] not in one.log + other.log


def test_the_product_acts_for_a_person(start_server: Callable[..., Server], auth: AuthService) -> None:
    server = start_server()
    with Client(server.url, auth.token("bob")) as bob:
        bob.sync()
        headers = {"Chatd-On-Behalf-Of": "alice"}
        sent = {"client_id": "1", "to": "bob", "text": "on her behalf"}
        back_end = HttpClient(server.http_url, auth.token("back-end", scope="chatd:act"), more=headers)
        assert back_end.post("/v1/messages", **sent).status == 200
        assert bob.event()["type"] == "conversation.created"
        event = bob.event()
        assert (event["sender"], event["text"]) == ("alice", "on her behalf")
        mallory = HttpClient(server.http_url, auth.token("mallory"), more=headers)
        assert mallory.post("/v1/messages", **sent).status == 403
    assert "back-end acts for alice: POST /v1/messages" in server.log
