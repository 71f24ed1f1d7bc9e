"""What chatd says of itself while something that it needs is away, and when that is back."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pytest

from tests.kit.auth_service import ProductAuth
from tests.kit.clients import HttpClient
from tests.kit.postgres import Cluster
from tests.kit.redis import RedisServer
from tests.kit.tokens import AuthService
from tests.kit.waiting import wait_for
from tests.kit.workers import WorkersServer


@dataclass
class Service:
    """Two workers, and what they need."""

    server: WorkersServer
    redis: RedisServer
    product: ProductAuth

    def worker(self) -> tuple[int, Any]:
        """What one of them says, to whoever connects."""
        answer = HttpClient(self.server.http_url).get("/readyz")
        return answer.status, answer.body

    def all(self) -> tuple[int, Any]:
        """What the parent says."""
        answer = self.server.overview.get("/readyz")
        return answer.status, answer.body

    def says(self, status: int, word: str, **states: str) -> bool:
        """Whether workers and parent say so, and so of these dependencies."""
        return all(
            (told, body["status"]) == (status, word)
            and all(body["dependencies"][name]["state"] == state for name, state in states.items())
            for told, body in (self.worker(), self.all())
        )


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory, database: str, auth: AuthService) -> Iterator[Service]:
    folder = tmp_path_factory.mktemp("chatd")
    with RedisServer(folder) as redis, ProductAuth(folder) as product:
        (folder / "issuers.toml").write_text(product.table())
        settings = {
            "tokens": {"issuers_file": str(folder / "issuers.toml"), "ca_file": str(product.ca_file)},
            "bus": {"kind": "redis"},
            "cache": {"kind": "redis"},
            "redis": {"url": redis.url},
        }
        server = WorkersServer(folder, database, auth, 2, settings)
        try:
            yield Service(server.start(), redis, product)
        finally:
            server.close()


@pytest.fixture(autouse=True)
def well(service: Service) -> Iterator[None]:
    """All is well before, and again afterwards."""
    wait_for(lambda: service.says(200, "ready", database="ok", auth="ok", bus="ok", cache="ok"))
    yield
    wait_for(lambda: service.says(200, "ready", database="ok", auth="ok", bus="ok", cache="ok"))


def test_without_redis_it_serves_and_says_what_is_slower(service: Service) -> None:
    service.redis.kill()
    wait_for(lambda: service.says(200, "degraded", database="ok", auth="ok", bus="degraded", cache="degraded"))
    assert service.all()[1]["dependencies"]["bus"] == {
        "state": "degraded",
        "detail": "what other workers do arrives later",
    }
    service.redis.start()


def test_without_the_auth_service_it_serves_from_the_keys_that_it_has(service: Service) -> None:
    service.product.stop()
    kept = service.product.keys
    service.product.rotate()
    unknown = HttpClient(service.server.http_url, service.product.token("alice"))

    def noticed_by_both() -> bool:
        assert unknown.get("/v1/ping").status == 503
        return service.all()[1]["dependencies"]["auth"].get("workers", []) == [] and service.says(
            200, "degraded", database="ok", auth="degraded"
        )

    wait_for(noticed_by_both)
    assert HttpClient(service.server.http_url, service.product.token("bob", key=kept[0])).get("/v1/ping").status == 200
    service.product.start()


def test_without_postgresql_it_is_not_ready(service: Service, cluster: Cluster) -> None:
    cluster.stop()
    try:
        wait_for(lambda: service.says(503, "not ready", database="unavailable"))
        assert set(service.all()[1]["workers"]) == {"1", "2"}
    finally:
        cluster.start()


def test_nothing_secret_stands_in_it(service: Service, database: str) -> None:
    told = str((service.worker(), service.all()))
    assert not [part for part in (service.redis.url, service.product.issuer, database) if part in told]


def test_when_all_is_well_each_worker_and_dependency_is_told(service: Service) -> None:
    assert service.all() == (
        200,
        {
            "status": "ready",
            "workers": {"1": "ready", "2": "ready"},
            "dependencies": {name: {"state": "ok"} for name in ("database", "encryption", "auth", "bus", "cache")},
        },
    )
