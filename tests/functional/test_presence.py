"""Presence through the real server, and through several of them that hear nothing of each other but by the database."""

import time
from collections.abc import Callable, Iterator
from datetime import datetime
from os import kill
from pathlib import Path
from signal import SIGCONT, SIGSTOP
from typing import Any

import pytest

from chatd.security.keyring import MasterKeys
from tests.kit.clients import Client, Message
from tests.kit.people import Person
from tests.kit.postgres import Cluster
from tests.kit.server import Server
from tests.kit.settings import private
from tests.kit.waiting import wait_for

PROMISED_S = 15.0
REREAD_S = 1.0
QUICK = {"heartbeat": 0.5, "lease": 3.0, "reread": REREAD_S}


@pytest.fixture
def pair(tmp_path: Path, start_server: Callable[..., Server]) -> Callable[[], Server]:
    """Starts servers on one database that can read what the others have sealed."""
    keys = private(tmp_path / "master-keys", MasterKeys.generate_line("2025-11"))
    return lambda: start_server({"presence": QUICK, "encryption": {"master_keys_file": str(keys)}})


@pytest.fixture
def apart(pair: Callable[[], Server], person: Callable[..., Person]) -> Iterator[tuple[Server, Client, Client, str]]:
    """Two servers: alice is connected to the first, and bob, who subscribed to her, to the second."""
    first, second = pair(), pair()
    alice, bob = person("alice", first), person("bob", second)
    with alice.connect() as hers, bob.connect() as his:
        hers.ask("message.send", client_id="1", to=bob.name, text="hi")
        his.sync()
        his.ask("presence.subscribe", users=[alice.name])
        yield first, hers, his, alice.name


def people(client: Client, *users: str, command: str = "presence.get") -> dict[str, str]:
    reply = client.ask(command, users=users)
    assert reply["type"] == "ok", reply
    return {person["user"]: person["status"] for person in reply["people"]}


def told(client: Client, status: str, *, within: float) -> Message:
    """What one is told next, which comes in time and is this."""
    deadline = time.monotonic() + within
    event = client.event(within=within)
    assert time.monotonic() <= deadline
    assert (event["type"], event["status"]) == ("presence.changed", status), event
    return event


def test_friends_see_each_other_come_and_go(
    alice: Person, bob: Person, person: Callable[..., Person], server: Server
) -> None:
    carol = person("carol", server)
    with bob.connect() as his, carol.connect() as strangers:
        his.ask("message.send", client_id="1", to=alice.name, text="hi")
        his.sync()
        strangers.sync()
        assert people(his, alice.name, command="presence.subscribe") == {alice.name: "offline"}
        people(strangers, alice.name, command="presence.subscribe")
        with alice.connect() as phone, alice.connect(device="laptop") as laptop:
            assert told(his, "online", within=PROMISED_S)["user"] == alice.name
            assert people(strangers, alice.name) == {alice.name: "offline"}
            phone.ask("presence.set", status="away")
            laptop.ask("presence.set", status="away")
            told(his, "away", within=PROMISED_S)
            found = bob.http().post("/v1/presence/get", users=[alice.name]).body
            assert found == {"people": [{"user": alice.name, "status": "away"}]}
            laptop.ask("presence.set", status="invisible")
            phone.ask("presence.set", status="invisible")
            hidden = told(his, "offline", within=PROMISED_S)
            assert people(laptop, alice.name) == {alice.name: "invisible"}
            phone.ask("presence.set", status="online")
            told(his, "online", within=PROMISED_S)
        gone = told(his, "offline", within=PROMISED_S)
        assert datetime.fromisoformat(gone["last_seen"]) >= datetime.fromisoformat(hidden["last_seen"])
        assert strangers.sync() == []


def test_over_http_a_subscription_is_refused(alice: Person) -> None:
    for name, fields in [("set", {"status": "away"}), ("subscribe", {"users": []}), ("unsubscribe", {"users": []})]:
        response = alice.http().post(f"/v1/presence/{name}", **fields)
        assert (response.status, response.body["code"]) == (400, "invalid")


def test_when_a_server_is_killed_its_people_go_offline_in_time(apart: tuple[Server, Client, Client, str]) -> None:
    first, _, his, alice = apart
    told(his, "online", within=PROMISED_S + REREAD_S)
    killed_at = time.time()
    first.kill()
    event = told(his, "offline", within=PROMISED_S + REREAD_S)
    assert event["user"] == alice
    assert killed_at - 2 < datetime.fromisoformat(event["last_seen"]).timestamp() <= killed_at + 1
    assert people(his, alice) == {alice: "offline"}


def test_a_server_that_stood_still_too_long_is_believed_again(apart: tuple[Server, Client, Client, str]) -> None:
    first, hers, his, alice = apart
    told(his, "online", within=PROMISED_S + REREAD_S)
    kill(first.pid, SIGSTOP)
    try:
        told(his, "offline", within=PROMISED_S + REREAD_S)
    finally:
        kill(first.pid, SIGCONT)
    told(his, "online", within=PROMISED_S + REREAD_S)
    assert people(hers, alice) == {alice: "online"}


def test_when_a_server_stops_its_people_go_offline(apart: tuple[Server, Client, Client, str]) -> None:
    first, hers, his, _ = apart
    told(his, "online", within=PROMISED_S + REREAD_S)
    first.stop()
    assert hers.closed()[0] == 1012
    told(his, "offline", within=PROMISED_S + REREAD_S)


def test_who_moves_to_another_server_in_time_was_never_away(
    apart: tuple[Server, Client, Client, str], pair: Callable[[], Server], auth: Any
) -> None:
    _, hers, his, alice = apart
    told(his, "online", within=PROMISED_S + REREAD_S)
    third = pair()
    hers.close()
    with Client(third.url, auth.token(alice)) as again:
        again.sync()
        with pytest.raises(TimeoutError):
            his.event(within=8.0)
        assert people(his, alice) == {alice: "online"}


def test_presence_comes_back_after_a_crash_of_the_database(
    start_server: Callable[..., Server], person: Callable[..., Person], cluster: Cluster
) -> None:
    """The leases are in unlogged tables, which a crash empties."""
    server = start_server({"presence": QUICK})
    alice, bob = person("alice", server), person("bob", server)
    with alice.connect() as hers, bob.connect() as his:
        hers.ask("message.send", client_id="1", to=bob.name, text="hi")
        wait_for(lambda: people(his, alice.name) == {alice.name: "online"})
        cluster.kill()
        cluster.start()
        wait_for(server.ready)
        wait_for(lambda: his.ask("presence.get", users=[alice.name]).get("people", [{}])[0].get("status") == "online")
    assert "Traceback" not in server.log, server.log
