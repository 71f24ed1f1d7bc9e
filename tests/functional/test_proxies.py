"""chatd behind nginx and behind HAProxy, as the documentation has them: two machines, of which one is of no use.

nginx finds nobody there, and HAProxy, which asks, a chatd without a database.
"""

import json
import os
import re
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from chatd.settings.model import Timeouts
from tests.kit.front import DOCUMENTED, Front, Haproxy, Nginx, program
from tests.kit.people import Person
from tests.kit.postgres import Cluster
from tests.kit.server import Server
from tests.kit.tokens import AuthService
from tests.kit.waiting import wait_for
from tests.kit.workers import WorkersServer

KINDS: tuple[type[Front], ...] = (Nginx, Haproxy)
HERE, FORGED = "127.0.0.7", "203.0.113.66"
NO_DATABASE = "postgresql://nobody@127.0.0.1:1/nothing"


def needed(name: str) -> None:
    if program(name) is None:
        pytest.skip(f"{name} is not installed: it is what this is about (Debian's package {name})")


@dataclass
class Site:
    """A proxy in front of ``chatd`` and of another machine."""

    front: Front
    chatd: WorkersServer
    other: Server

    def line(self, answer: Any) -> dict[str, Any]:
        """What chatd has logged of the request that was answered."""
        id = answer.headers["x-request-id"]
        found = wait_for(lambda: [one for one in self.chatd.log.splitlines() if f'"request": "{id}"' in one])
        return dict(json.loads(found[0]))


@pytest.fixture(scope="module", params=KINDS, ids=lambda kind: kind.__name__.lower())
def site_of_module(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory, cluster: Cluster, auth: AuthService
) -> Iterator[Site]:
    kind: Any = request.param
    needed(kind.__name__.lower())
    folder = tmp_path_factory.mktemp("site")
    settings = {"": {"log_level": "debug", "log_format": "json", "behind_proxy": True}, "proxies": kind.proxies}
    for name in ("one", "two"):
        (folder / name).mkdir()
    chatd = WorkersServer(folder / "one", cluster.create_database(), auth, 2, settings)
    other = Server(folder / "two", NO_DATABASE, auth, settings)
    front = kind(folder / "front", (chatd.port, other.port))
    try:
        if kind is Haproxy:
            other.start(ready=False)
        chatd.start()
        front.start()
        if kind is Haproxy:
            wait_for(lambda: "chatd/machine2 is DOWN" in front.log)
        yield Site(front, chatd, other)
    finally:
        for one in (front, chatd, other):
            one.close()
    assert "Traceback" not in chatd.log


@pytest.fixture
def site(site_of_module: Site) -> Site:
    """It runs, also if a test before has ended it."""
    if not site_of_module.chatd.running:
        site_of_module.chatd.start()
    return site_of_module


@pytest.fixture
def alice(person: Callable[..., Person], site: Site) -> Person:
    return person("alice", site.chatd)


@pytest.fixture
def bob(person: Callable[..., Person], site: Site) -> Person:
    return person("bob", site.chatd)


def test_commands_and_websockets_come_through(site: Site, alice: Person, bob: Person) -> None:
    with site.front.connect(alice.token()) as hers, site.front.connect(bob.token()) as his:
        his.sync()
        assert hers.ask("message.send", client_id="1", to=bob.name, text="hello")["seq"] == 1
        assert his.event()["type"] == "conversation.created"
        assert his.event()["text"] == "hello"
    assert site.front.get("/v1/ping", alice.token()).status == 200
    assert site.front.get("/v1/ping").status == 401
    assert site.front.get("/readyz").status == 200


def test_the_client_is_known_by_its_own_address_whatever_it_says(site: Site, alice: Person) -> None:
    forged = {"X-Forwarded-For": FORGED, "Forwarded": f"for={FORGED}", "X-Real-IP": FORGED, "X-Request-Id": "mine"}
    answer = site.front.get("/v1/ping", alice.token(), host=HERE, more=forged)
    assert (answer.status, site.line(answer)["client"]) == (200, HERE)
    with site.front.connect(alice.token(), source_address=(HERE, 0)) as client:
        session = client.hello["session"]
    wait_for(lambda: f"{session} is {alice.name} on default at {HERE}" in site.chatd.log)
    assert FORGED not in site.chatd.log
    assert '"mine"' not in site.chatd.log


def test_a_machine_that_is_away_or_not_ready_disturbs_nobody(site: Site, alice: Person) -> None:
    token = alice.token()
    before = site.other.log.count('"/v1/')
    assert {site.front.get("/v1/ping", token).status for _ in range(10)} == {200}
    for _ in range(5):
        with site.front.connect(token) as client:
            assert client.ask("ping")["type"] == "ok"
    assert site.other.log.count('"/v1/') == before


@dataclass
class Load:
    """A client after the other, of either kind, each on a connection of its own; what went wrong is kept."""

    site: Site
    token: str
    served: int = 0
    failed: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._over = threading.Event()
        self._clients = [threading.Thread(target=self._come, args=(client,)) for client in (self._ask, self._connect)]

    def __enter__(self) -> "Load":
        for client in self._clients:
            client.start()
        return self

    def __exit__(self, *error: object) -> None:
        self._over.set()
        for client in self._clients:
            client.join()

    def _come(self, client: Callable[[], None]) -> None:
        while not self._over.is_set():
            try:
                client()
                self.served += 1
            except Exception as error:
                self.failed.append(f"{client.__name__}: {error!r}")
            time.sleep(0.02)

    def _ask(self) -> None:
        status = self.site.front.get("/v1/ping", self.token).status
        assert status == 200, status

    def _connect(self) -> None:
        with self.site.front.connect(self.token) as client:
            assert client.hello["type"] == "hello"


def test_a_rolling_replacement_refuses_nobody_and_tells_who_is_there_to_come_back(site: Site, alice: Person) -> None:
    with site.front.connect(alice.token()) as client, Load(site, alice.token()) as load:
        wait_for(lambda: load.served > 4)
        site.chatd.reload_all()
        so_far = load.served
        wait_for(lambda: load.served > so_far + 4)
        goaway = client.event()
        assert (goaway["type"], client.closed()[0]) == ("goaway", 1012)
    assert load.failed == []


def test_who_is_connected_when_chatd_ends_is_told_to_come_back(site: Site, alice: Person) -> None:
    with site.front.connect(alice.token()) as client:
        assert site.chatd.stop() == 0
        assert client.event()["type"] == "goaway"
        assert client.closed()[0] == 1012
    # Neither machine is there for anybody now.
    assert site.front.get("/v1/ping", alice.token()).status in (502, 503)


def test_nginx_needs_no_root() -> None:
    needed("nginx")
    if os.geteuid():
        pytest.skip("the tests above have run nginx as a user without rights already")
    with tempfile.TemporaryDirectory() as parent:
        os.chmod(parent, 0o755)
        front = Nginx(Path(parent) / "nginx", (1, 1), as_nobody=True)
        try:
            front.start()
            assert front.get("/v1/ping").status == 502, "nobody is behind it"
        finally:
            front.close()


# -- what the files promise --


@pytest.mark.parametrize(
    ("file", "patience"), [("nginx.conf", "proxy_read_timeout"), ("haproxy.cfg", "timeout tunnel")]
)
def test_idle_websockets_outlast_the_pings_that_keep_them_open(file: str, patience: str) -> None:
    (seconds,) = re.findall(rf"^\s+{patience} (\d+)s", (DOCUMENTED / file).read_text(), re.MULTILINE)
    assert int(seconds) > 2 * Timeouts().ping_interval


@pytest.mark.parametrize(
    ("file", "idle"), [("nginx.conf", "keepalive_timeout"), ("haproxy.cfg", "timeout http-keep-alive")]
)
def test_it_is_the_proxy_that_closes_idle_connections(file: str, idle: str) -> None:
    (seconds,) = re.findall(rf"^\s+{idle} (\d+)s", (DOCUMENTED / file).read_text(), re.MULTILINE)
    assert int(seconds) < Timeouts().http_idle
