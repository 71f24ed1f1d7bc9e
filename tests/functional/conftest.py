"""The server that the tests of a module share, and fresh people for each test."""

import subprocess
import sys
from collections.abc import Callable, Iterator
from itertools import count
from pathlib import Path

import pytest

from chatd.security.keyring import MasterKeys
from tests.kit.people import Person
from tests.kit.postgres import Cluster
from tests.kit.server import ENDS_WITH_US, ROOT, Sections, Server
from tests.kit.settings import private
from tests.kit.tokens import AuthService
from tests.kit.workers import WorkersServer

_numbers = count(1)


@pytest.fixture(scope="session")
def auth() -> AuthService:
    """Whose tokens the servers accept."""
    return AuthService()


@pytest.fixture(scope="module")
def settings() -> Sections:
    """The server's settings by section; a module that wants others overrides this."""
    return {}


@pytest.fixture(scope="module")
def database(cluster: Cluster) -> str:
    """The connection string of the server's own database."""
    return cluster.create_database()


@pytest.fixture(scope="module")
def server(
    tmp_path_factory: pytest.TempPathFactory, database: str, auth: AuthService, settings: Sections
) -> Iterator[Server]:
    """A running server, which by the end of the module has met nothing that it did not foresee."""
    server = Server(tmp_path_factory.mktemp("chatd"), database, auth, settings)
    try:
        yield server.start()
    finally:
        server.close()
    assert "Traceback" not in server.log, server.log


@pytest.fixture
def start_server(tmp_path: Path, dsn: str, auth: AuthService) -> Iterator[Callable[..., Server]]:
    """Starts servers of a test's own: ``start_server(settings, dsn=..., ready=...)``."""
    servers: list[Server] = []
    default = dsn
    keys = private(tmp_path / "master-keys", MasterKeys.generate_line("2025-11"))

    def start(settings: Sections | None = None, *, dsn: str = default, ready: bool = True) -> Server:
        folder = tmp_path / f"chatd-{len(servers)}"
        folder.mkdir()
        # Whoever shares a database shares the keys.
        settings = {"encryption": {"master_keys_file": str(keys)}, **(settings or {})}
        servers.append(Server(folder, dsn, auth, settings))
        return servers[-1].start(ready=ready)

    yield start
    for server in servers:
        server.close()


@pytest.fixture
def start_workers(tmp_path: Path, dsn: str, auth: AuthService) -> Iterator[Callable[..., WorkersServer]]:
    """Starts a server of a test's own: ``start_workers(number, settings)``."""
    servers: list[WorkersServer] = []

    def start(
        workers: int = 2, settings: Sections | None = None, *, ready: bool = True, scheme: str = "http"
    ) -> WorkersServer:
        servers.append(WorkersServer(tmp_path, dsn, auth, workers, settings, scheme=scheme))
        return servers[-1].start(ready=ready)

    yield start
    for server in servers:
        server.close()
        assert "Traceback" not in server.log, server.log


@pytest.fixture(scope="session")
def echo() -> Iterator[str]:
    """Where the echo listens; see ``tests/functional/echo.py``."""
    command = [*ENDS_WITH_US, sys.executable, "-m", "tests.functional.echo"]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        yield process.stdout.readline().strip()
        process.terminate()


@pytest.fixture(scope="session")
def person(auth: AuthService) -> Callable[..., Person]:
    """Makes people whom the server has never seen: ``person("alice", server)``."""

    def make(name: str, server: Server) -> Person:
        return Person(f"{name}-{next(_numbers)}", server, auth)

    return make


@pytest.fixture
def alice(person: Callable[..., Person], server: Server) -> Person:
    return person("alice", server)


@pytest.fixture
def bob(person: Callable[..., Person], server: Server) -> Person:
    return person("bob", server)
