"""Connections to a worker of one's choice, which only its figures tell from the others."""

from contextlib import ExitStack

from tests.kit.clients import Client
from tests.kit.people import Person
from tests.kit.workers import WorkersServer

TRIES = 100


def connections_on_all(
    server: WorkersServer, person: Person, stack: ExitStack, **options: object
) -> dict[int, list[Client]]:
    """Connections of one person to every worker, by its number; nobody else may connect meanwhile."""
    found: dict[int, list[Client]] = {number: [] for number in range(1, server.number_of_workers + 1)}
    for _ in range(TRIES):
        if all(found.values()):
            return found
        number, client = _connect(server, person, options)
        found[number].append(stack.enter_context(client))
    raise AssertionError("a worker was never met")


def connection_on(server: WorkersServer, wanted: int, person: Person, stack: ExitStack, **options: object) -> Client:
    """A connection to the worker of this number, and none to any other; nobody else may connect meanwhile."""
    with ExitStack() as others:
        for _ in range(TRIES):
            number, client = _connect(server, person, options)
            if number == wanted:
                return stack.enter_context(client)
            others.enter_context(client)
    raise AssertionError(f"worker {wanted} was never met")


def _connect(server: WorkersServer, person: Person, options: dict[str, object]) -> tuple[int, Client]:
    before = server.figures("chatd_connections")
    client = person.connect(**options)
    after = server.figures("chatd_connections")
    (number,) = [number for number in after if after[number] > before[number]]
    return number, client
