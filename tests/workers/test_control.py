"""What the parent and a worker tell each other."""

from typing import Any

import msgspec
import pytest
from twisted.internet.testing import StringTransport
from twisted.python.failure import Failure

from chatd.settings.base import Secret
from chatd.settings.model import Settings, Tls
from chatd.workers.control import Begin, Channel, Family, Logged, Look, Measure, Measured, Sample, Status, Stop
from chatd.workers.orders import to_wire
from tests.kit.processes import order


class End:
    """One end of a channel, and what it has heard."""

    def __init__(self, make: Any) -> None:
        self.messages: list[Any] = []
        self.gone = False
        self.congestion: list[bool] = []
        self.channel: Channel = make(self)
        self.transport = StringTransport()
        self.channel.makeConnection(self.transport)

    def heard(self, message: Any) -> None:
        self.messages.append(message)

    def hung_up(self) -> None:
        self.gone = True

    def congested(self, congested: bool) -> None:
        self.congestion.append(congested)


@pytest.fixture
def parent() -> End:
    return End(Channel.of_parent)


@pytest.fixture
def worker() -> End:
    return End(Channel.of_worker)


def carry(sender: End, receiver: End, piece: int = 7) -> None:
    """Let what was sent arrive, piece by piece."""
    data = sender.transport.value()
    sender.transport.clear()
    for start in range(0, len(data), piece):
        receiver.channel.dataReceived(data[start : start + piece])


def test_an_order_arrives_whole_with_its_secrets(parent: End, worker: End) -> None:
    settings = Settings(workers="auto", port=1, tls=Tls(certificate="/c", key="/k"))
    sent = order("x", settings)
    sent = msgspec.structs.replace(
        sent, credentials=msgspec.structs.replace(sent.credentials, dsn=Secret("dsn"), master_keys=Secret("keys"))
    )
    parent.channel.tell(Begin(worker=3, order=sent, descriptors=(4, 5)))
    carry(parent, worker)
    assert worker.messages == [Begin(worker=3, order=sent, descriptors=(4, 5))]
    assert worker.messages[0].order.credentials.master_keys.reveal() == "keys"


def test_every_message_arrives_in_its_order(parent: End, worker: End) -> None:
    parent.channel.tell(Look(), Measure(number=7), Stop())
    carry(parent, worker, 1)
    assert worker.messages == [Look(), Measure(number=7), Stop()]
    family = Family("n", "h", "gauge", (Sample("n", {"a": "b"}, 1.5),))
    said = [
        Status(ready=True),
        Measured(number=7, families=(family,)),
        Logged(time=1.0, level="info", namespace="n", text="t"),
    ]
    worker.channel.tell(*said)
    carry(worker, parent, 1000)
    assert parent.messages == said


def test_an_order_shows_no_secret_where_it_is_printed() -> None:
    sent = order("x")
    sent = msgspec.structs.replace(sent, credentials=msgspec.structs.replace(sent.credentials, dsn=Secret("hunter2")))
    assert "hunter2" not in repr(sent)


def test_what_is_no_message_of_the_other_side_is_not_taken(parent: End) -> None:
    with pytest.raises(msgspec.ValidationError):
        parent.channel.stringReceived(msgspec.msgpack.encode({"is": "stop"}))
    assert parent.messages == []


def test_what_cannot_be_written_is_a_defect() -> None:
    with pytest.raises(NotImplementedError, match="object"):
        to_wire(object())


def test_the_end_and_congestion_are_told(worker: End) -> None:
    assert worker.transport.streaming
    worker.transport.producer.pauseProducing()
    worker.transport.producer.resumeProducing()
    assert worker.congestion == [True, False]
    worker.channel.close()
    assert worker.transport.disconnecting
    worker.channel.stopProducing()
    worker.channel.connectionLost(Failure(ConnectionError()))
    assert worker.gone
