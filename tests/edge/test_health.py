"""How a worker says that it is, and all workers together."""

import pytest

from chatd.handlers.catalogue import DECLARATIONS
from chatd.records.condition import FINE, Dependency, merged
from tests.kit.visitor import RecordingRouter, World

AWAY = Dependency(state="degraded", detail="what other workers do arrives later")
DOWN = Dependency(state="unavailable", detail="PostgreSQL cannot be reached")


@pytest.fixture(scope="module")
def world() -> World:
    return World(router=RecordingRouter(DECLARATIONS[:1]))


@pytest.mark.parametrize(
    ("ready", "dependencies", "status", "word"),
    [
        (True, {"database": FINE}, 200, "ready"),
        (True, {"database": FINE, "bus": AWAY}, 200, "degraded"),
        (True, {"database": FINE, "auth": DOWN}, 200, "degraded"),
        (False, {"database": DOWN, "bus": AWAY}, 503, "not ready"),
        # It ends, for instance.
        (False, {"database": FINE}, 503, "not ready"),
    ],
)
def test_it_says_how_well_it_serves_and_what_is_wrong_with_what(
    ready: bool, dependencies: dict[str, Dependency], status: int, word: str, world: World
) -> None:
    world.ready, world.dependencies = ready, dependencies
    answer = world.ask("GET", "/readyz", Authorization="")
    told = {
        name: {"state": one.state} | ({"detail": one.detail} if one.detail else {})
        for name, one in dependencies.items()
    }
    assert (answer.status, answer.json) == (status, {"status": word, "dependencies": told})


def test_together_workers_say_the_worst_and_which_of_them_say_so() -> None:
    said = {1: {"database": FINE, "bus": AWAY, "auth": FINE}, 2: {"database": DOWN, "bus": AWAY, "auth": FINE}, 3: {}}
    assert merged(said) == {
        "database": Dependency(state="unavailable", detail=DOWN.detail, workers=(2,)),
        "bus": AWAY,
        "auth": FINE,
    }
    assert merged({}) == {}
