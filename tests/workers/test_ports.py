"""Ports that others listen on as well."""

import socket
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from pytest_twisted import ensureDeferred
from twisted.internet import reactor
from twisted.internet.defer import Deferred
from twisted.internet.protocol import Factory, Protocol
from twisted.protocols.policies import WrappingFactory
from twisted.protocols.tls import TLSMemoryBIOFactory

from chatd.edge.tls import context_factory
from chatd.settings.model import Settings
from chatd.workers.listeners import Listeners, listen
from chatd.workers.ports import InheritedSocket
from tests.kit.certificates import write_certificate
from tests.kit.until import until


class Accepting(Factory):
    """Counts who was accepted."""

    protocol = Protocol

    def __init__(self) -> None:
        self.accepted = 0

    def buildProtocol(self, addr: object) -> Protocol:
        self.accepted += 1
        return Protocol()


@pytest.fixture(params=["tcp", "unix"])
def listeners(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Listeners]:
    path = str(tmp_path / "s") if request.param == "unix" else ""
    held = listen(Settings(port=0, socket=path), [], 1)
    yield held
    held.close()


@pytest.fixture
def connect(listeners: Listeners) -> Iterator[Callable[[], socket.socket]]:
    opened: list[socket.socket] = []
    (held,) = listeners.of(1)

    def connect() -> socket.socket:
        opened.append(socket.socket(held.family))
        opened[-1].connect(held.getsockname())
        return opened[-1]

    yield connect
    for one in opened:
        one.close()


def adopt(listeners: Listeners, factory: Factory) -> Deferred:
    return InheritedSocket(reactor, listeners.of(1)[0].dup(), None).listen(factory)


@ensureDeferred
async def test_it_goes_on_listening_for_the_next_when_one_has_stopped(
    listeners: Listeners, connect: Callable[[], socket.socket]
) -> None:
    first, second = Accepting(), Accepting()
    port = await adopt(listeners, first)
    connect()
    await until(lambda: first.accepted == 1)
    await port.stopListening()
    connect()
    connect()
    port = await adopt(listeners, second)
    await until(lambda: second.accepted == 2)
    await port.stopListening()
    assert first.accepted == 1


@ensureDeferred
async def test_two_at_once_accept_everything_once(listeners: Listeners, connect: Callable[[], socket.socket]) -> None:
    factories = [Accepting(), Accepting()]
    ports = [await adopt(listeners, factory) for factory in factories]
    for _ in range(20):
        connect()
    await until(lambda: sum(factory.accepted for factory in factories) == 20)
    for port in ports:
        await port.stopListening()


@ensureDeferred
async def test_nothing_of_the_socket_stays_behind(listeners: Listeners) -> None:
    given = listeners.of(1)[0].dup()
    port = await InheritedSocket(reactor, given, None).listen(Accepting())
    assert given.fileno() == -1
    await port.stopListening()


@ensureDeferred
async def test_tls_is_spoken_where_it_is_given_but_not_on_a_unix_socket(listeners: Listeners, tmp_path: Path) -> None:
    write_certificate(tmp_path)
    tls = context_factory(str(tmp_path / "certificate.pem"), str(tmp_path / "key.pem"))
    factory = Accepting()
    given = listeners.of(1)[0]
    port = await InheritedSocket(reactor, given.dup(), tls).listen(factory)
    assert (port.factory is factory) is (given.family == socket.AF_UNIX)
    await port.stopListening()


@ensureDeferred
async def test_what_announces_connections_stands_in_front_of_tls(listeners: Listeners, tmp_path: Path) -> None:
    write_certificate(tmp_path)
    tls = context_factory(str(tmp_path / "certificate.pem"), str(tmp_path / "key.pem"))
    factory = Accepting()
    given = listeners.of(1)[0]
    port = await InheritedSocket(reactor, given.dup(), tls, WrappingFactory).listen(factory)
    assert isinstance(port.factory, WrappingFactory)
    assert not isinstance(port.factory, TLSMemoryBIOFactory)
    behind = port.factory.wrappedFactory
    assert (behind is factory) is (given.family == socket.AF_UNIX)
    assert (behind is factory) is not isinstance(behind, TLSMemoryBIOFactory)
    await port.stopListening()
