"""A person ends a device: what lives on its tokens is closed, and its tokens are refused from then on."""

import pytest
from websockets.exceptions import InvalidStatus

from tests.kit.clients import Client, HttpClient
from tests.kit.people import Person
from tests.kit.server import Server
from tests.kit.tokens import AuthService
from tests.kit.waiting import wait_for

REVOKED = 4502


def refused(server: Server, token: str, device: str) -> tuple[int, int]:
    """The statuses with which both doors answer."""
    with pytest.raises(InvalidStatus) as caught:
        Client(server.url, token, device=device)
    return caught.value.response.status_code, HttpClient(server.http_url, token, device=device).get("/v1/ping").status


def listed(person: Person, device: str) -> list[tuple[str, bool]]:
    found = person.http(device=device).get("/v1/devices").body["devices"]
    return [(one["device"], one["current"]) for one in found]


def test_an_ended_device_is_closed_and_refused_and_may_come_back_with_a_fresh_token(
    server: Server, alice: Person, auth: AuthService
) -> None:
    token = alice.token()
    with Client(server.url, token, device="tablet") as tablet, alice.connect(device="phone") as phone:
        wait_for(lambda: listed(alice, "phone") == [("phone", True), ("tablet", False)])
        tablet.sync()
        phone.sync()
        first = phone.ask("device.end", client_id="1", device="tablet")
        assert phone.event()["type"] == "device.ended"
        assert tablet.closed()[0] == REVOKED
    assert refused(server, token, "tablet") == refused(server, token, "another") == (401, 401)
    assert listed(alice, "phone") == [("phone", True)]
    assert alice.http(device="phone").post("/v1/devices/tablet/end", client_id="1").body["seq"] == first["seq"]
    assert alice.http(device="tablet").get("/v1/ping").status == 200
    with Client(server.url, alice.token(), device="tablet") as back:
        assert [event["device"] for event in back.sync() if event["type"] == "device.ended"] == ["tablet"]


def test_all_other_devices_are_ended_and_this_one_lives_on(server: Server, alice: Person, bob: Person) -> None:
    mine, others = alice.token(), [alice.token(), alice.token()]
    with (
        Client(server.url, mine, device="phone") as phone,
        Client(server.url, others[0], device="tablet") as tablet,
        Client(server.url, others[1], device="phone") as same_name,
        bob.connect() as bystander,
    ):
        assert phone.ask("device.end_others", client_id="1")["type"] == "ok"
        assert (tablet.closed()[0], same_name.closed()[0]) == (REVOKED, REVOKED)
        assert phone.ask("ping")["type"] == "ok"
        assert bystander.ask("ping")["type"] == "ok"
    assert [refused(server, token, "phone") for token in others] == [(401, 401)] * 2
    assert HttpClient(server.http_url, mine, device="phone").get("/v1/ping").status == 200


def test_another_servers_connections_end_too(start_server, auth: AuthService, person) -> None:
    one, other = (start_server() for _ in range(2))
    carol = person("carol", one)
    token = carol.token()
    with Client(other.url, token, device="tablet") as tablet:
        assert carol.http(device="phone").post("/v1/devices/tablet/end", client_id="1").status == 200
        assert tablet.closed()[0] == REVOKED
    assert refused(one, token, "tablet") == refused(other, token, "tablet") == (401, 401)


def test_a_revoked_token_cannot_renew_a_connection(server: Server, alice: Person) -> None:
    token = alice.token()
    assert HttpClient(server.http_url, token, device="tablet").get("/v1/ping").status == 200
    wait_for(lambda: ("tablet", False) in listed(alice, "phone"))
    alice.http(device="phone").post("/v1/devices/tablet/end", client_id="1")
    with alice.connect(device="laptop") as client:
        error = client.ask("auth", token=token)["error"]
        assert (error["code"], error["detail"]) == ("unauthorized", "The token has been revoked.")
        assert client.ask("ping")["type"] == "ok"
