"""A whole run with workers at the level of debug, logged as JSON: one stream, an object a line, and no secret in it."""

import json
import os
import signal
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from websockets.exceptions import InvalidStatus

from tests.functional.test_logs import CONTROL, SAID
from tests.kit.clients import Client, HttpClient
from tests.kit.people import Person
from tests.kit.raw import CLOSE, TEXT, RawSocket, close_payload
from tests.kit.tokens import AuthService
from tests.kit.waiting import wait_for
from tests.kit.workers import WorkersServer

Line = dict[str, Any]


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory, database: str, auth: AuthService) -> Iterator[WorkersServer]:
    """Its log is looked at in the end, from the first line to the last."""
    settings = {"": {"log_level": "debug", "log_format": "json"}}
    server = WorkersServer(tmp_path_factory.mktemp("chatd"), database, auth, 2, settings)
    try:
        yield server.start()
        assert server.stop() == 0
    finally:
        server.close()
    assert SAID not in server.log
    assert CONTROL.findall(server.log) == []
    said = lines(server)
    assert {"time", "level", "source", "pid", "message"} <= set.intersection(*(set(line) for line in said))
    assert said[0]["message"].startswith("twistd ")
    assert said[-1]["message"] == "Server Shut Down."
    assert not [line for line in said if "failure" in line]


def lines(server: WorkersServer) -> list[Line]:
    """All of them, each of which is an object."""
    return [json.loads(line) for line in server.log.splitlines()]


def found(server: WorkersServer, wanted: Callable[[Line], bool]) -> list[Line]:
    """Those lines, once there are any."""
    return wait_for(lambda: [line for line in lines(server) if wanted(line)])


def test_no_token_and_nothing_of_what_people_say_is_in_it(
    server: WorkersServer, alice: Person, bob: Person, auth: AuthService
) -> None:
    token, bad = alice.token(), AuthService().token(alice.name)
    with Client(server.url, token) as client, bob.connect() as his:
        his.sync()
        client.ask("message.send", client_id="1", to=bob.name, text=SAID, metadata={SAID: SAID})
        client.ask("auth", token=token)
        assert "error" in client.ask("message.send", text=SAID, client_id=SAID + "\n")
    with alice.raw() as raw:
        raw.message()
        raw.send_frame(TEXT, f'{{"{SAID}'.encode())
        assert raw.message()["error"]["code"] == "malformed"
    with pytest.raises(InvalidStatus):
        Client(server.url, bad)
    http = HttpClient(server.http_url, token)
    assert http.post("/v1/messages", client_id="2", to=bob.name, text=SAID).status == 200
    assert HttpClient(server.http_url).get("/v1/ping", token=token).status == 401
    assert HttpClient(server.http_url, bad).get("/mark").status == 404
    found(server, lambda line: line.get("path") == "/mark")
    assert not [part for shown in (token, bad) for part in shown.split(".")[1:] if part in server.log]


def test_an_answer_leads_to_its_line(server: WorkersServer, alice: Person) -> None:
    answer = HttpClient(server.http_url, alice.token()).get("/v1/ping")
    (line,) = found(server, lambda line: line.get("request") == answer.headers["X-Request-Id"])
    assert (line["user"], line["path"], line["status"], line["client"]) == (alice.name, "/v1/ping", 200, "127.0.0.1")
    assert line["pid"] == server.worker(line["worker"])
    assert line["level"] == "debug"


def test_all_lines_of_a_connection_have_its_id(server: WorkersServer, alice: Person) -> None:
    with alice.connect() as client:
        session = client.hello["session"]
    said = wait_for(lambda: [one for one in lines(server) if one.get("connection") == session][1:])
    assert f"{session} is {alice.name} on " in lines_of(server, session)[0]["message"]
    assert said[-1]["message"].startswith(f"{session} closed")


def lines_of(server: WorkersServer, session: str) -> list[Line]:
    return [line for line in lines(server) if line.get("connection") == session]


def test_what_peers_write_to_disturb_the_log_is_one_line_of_it(server: WorkersServer, alice: Person) -> None:
    forged = 'bye\n{"level":"critical"}\x1b[31m\u202e'
    with alice.raw() as raw:
        raw.message()
        raw.send_frame(CLOSE, close_payload(1000, forged.encode()))
        assert raw.ended()
    with RawSocket(server.url) as raw:
        raw.send(b"GET /\x1b[31mred HTTP/1.1\r\nHost: x\r\n\r\n")
        assert raw.response()[0] in (400, 404)
    assert len(found(server, lambda line: forged in line["message"])) == 1


def test_what_a_worker_leaves_when_it_dies_is_told_by_the_parent(server: WorkersServer) -> None:
    victim = server.worker(1)
    os.kill(victim, signal.SIGKILL)
    (line,) = found(server, lambda line: f"process {victim}) ended: signal 9" in line["message"])
    assert (line["pid"], line["level"]) == (server.pid, "error")
    assert "worker" not in line
    wait_for(server.ready)
