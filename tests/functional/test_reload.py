"""SIGHUP: sound settings are taken by replacing the workers one by one, bad ones leave everything as it is."""

import ssl
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.kit.certificates import write_certificate
from tests.kit.people import Person
from tests.kit.server import Server
from tests.kit.settings import private
from tests.kit.traffic import Traffic
from tests.kit.waiting import wait_for
from tests.kit.workers import WorkersServer


@pytest.fixture
def server(start_workers: Callable[..., WorkersServer]) -> WorkersServer:
    return start_workers()


def test_reloads_under_load_refuse_nobody_and_lose_nothing(server: WorkersServer, alice: Person, bob: Person) -> None:
    traffic = Traffic(server, alice, bob)
    with traffic.flowing():
        for _ in range(2):
            traffic.wait_for_more(100)
            server.reload_all()
        traffic.wait_for_more(100)
    traffic.check()
    assert traffic.cut == 0, "a request was not answered"
    assert "Traceback" not in server.log


def test_new_limits_and_log_level_are_taken(server: WorkersServer, alice: Person) -> None:
    with alice.connect() as client:
        assert client.hello["limits"]["text_chars"] == 4000
    server.configure({"": {"log_level": "debug"}, "limits": {"max_text_chars": 50}})
    server.reload_all()
    for _ in range(10):
        with alice.connect() as client:
            assert client.hello["limits"]["text_chars"] == 50
    wait_for(lambda: "#debug]" in server.log)


def test_clients_are_told_to_come_back_and_find_a_worker(server: WorkersServer, alice: Person) -> None:
    with ExitStack() as stack:
        clients = [stack.enter_context(alice.connect()) for _ in range(10)]
        server.reload_all()
        for client in clients:
            assert client.closed()[0] == 1012
            assert [event["type"] for event in client.read_events()] == ["goaway"]
        for _ in clients:
            assert stack.enter_context(alice.connect()).ask("ping")["type"] == "ok"


@pytest.mark.parametrize(
    ("settings", "reason"),
    [
        ({"limits": {"max_text_chars": 0}}, "limits.max_text_chars"),
        ({"tokens": {"jwks_file": "/nowhere"}}, "/nowhere cannot be read"),
        ({"": {"workers": 1}}, "workers (reload): has changed, which takes a restart"),
        ({"": {"host": "127.0.0.2"}}, "host (reload): has changed, which takes a restart"),
    ],
)
def test_bad_settings_are_refused_without_harm(
    settings: dict[str, dict[str, object]], reason: str, server: WorkersServer, alice: Person
) -> None:
    workers = server.workers
    with alice.connect() as client:
        server.configure(settings)
        server.reload()
        wait_for(lambda: "not reloaded, everything goes on as it is" in server.log)
        assert reason in server.log
        assert client.ask("ping")["type"] == "ok"
    assert server.workers == workers
    server.configure({})
    server.reload_all()


def test_broken_keys_are_refused_and_so_are_those_that_only_a_worker_could_find_fault_with(
    server: WorkersServer, tmp_path: Path
) -> None:
    private(tmp_path / "master-keys", "2025-11:too-short")
    server.reload()
    wait_for(lambda: "not reloaded, everything goes on as it is: encryption.master_keys" in server.log)
    assert server.ready()


def test_a_renewed_certificate_is_served_after_a_reload(
    start_workers: Callable[..., WorkersServer], tmp_path: Path
) -> None:
    settings = {"tls": {"certificate": str(tmp_path / "certificate.pem"), "key": str(tmp_path / "key.pem")}}
    first = write_certificate(tmp_path)
    server = start_workers(2, settings, scheme="https")
    assert served(server) == {first}
    second = write_certificate(tmp_path)
    assert served(server) == {first}
    server.reload_all()
    assert served(server) == {second}


def served(server: WorkersServer) -> set[str]:
    """The certificates that are shown."""
    return {ssl.get_server_certificate(("127.0.0.1", server.port)) for _ in range(10)}


def test_without_workers_it_is_refused_with_a_line_in_the_log(
    start_server: Callable[..., Server], person: Callable[..., Person]
) -> None:
    server = start_server()
    alice = person("alice", server)
    with alice.connect() as client:
        server.reload()
        wait_for(lambda: "SIGHUP has no effect on chatd in one process" in server.log)
        assert client.ask("ping")["type"] == "ok"
    assert server.stop() == 0
