"""Fixtures of the load generator's tests."""

import socket
from collections.abc import Iterator
from contextlib import closing

import pytest

from bench.connection import Connection
from tests.bench.line import Line


@pytest.fixture
def lines() -> Iterator[list[Line]]:
    """Two lines on loopback."""
    with closing(socket.create_server(("127.0.0.1", 0))) as listening:
        made = []
        for _ in range(2):
            client = Connection(listening.getsockname()[1], b"")
            made.append(Line(client, listening.accept()[0]))
        yield made
        for line in made:
            line.client.close()
            line.server.close()
