"""A client that stops reading costs the server little, is told what it misses, and gets it later."""

import json
import socket
from collections.abc import Callable, Iterator
from contextlib import ExitStack, suppress
from urllib.parse import urlsplit

import pytest

from tests.kit.clients import Client, Message
from tests.kit.people import Person
from tests.kit.postgres import Cluster
from tests.kit.raw import CLOSE, TEXT, RawSocket, frame, parsed
from tests.kit.resilient import Reader, Sender
from tests.kit.server import Sections, Server
from tests.kit.talk import as_messages, of, whole_history
from tests.kit.tokens import AuthService
from tests.kit.waiting import wait_for

LARGE = "x" * 4000
SENDS = 3000
# One commit of the sender's brings up to 270 kB at once, which is no reason to call anybody slow.
SMALL_BUFFERS = {"event_buffer_bytes": 524_288, "output_buffer_bytes": 1_048_576}
NARROW = 131_072
"""The client's side of the network takes so many bytes; the server's, which is the kernel's, some megabytes."""
SLOW = 8
TOGETHER = 64
"""Messages, which are as much as even a client that stands still for a while is let wait for."""
MEGABYTE = 1 << 20
GROWTH = 24 * MEGABYTE
"""What the process may grow by, whatever it is for; kept for the slow, the messages would come to twice as much."""


@pytest.fixture(scope="module")
def settings() -> Sections:
    return {"limits": {**SMALL_BUFFERS, "slow_reader_seconds": 5}, "timeouts": {"close": 1}}


def rest(raw: RawSocket) -> list[Message]:
    """What had arrived before the server gave the connection up."""
    found = []
    with suppress(EOFError, ConnectionResetError):
        while (received := raw.receive()).opcode != CLOSE:
            found.append(parsed(received))
    return found


def test_those_who_never_read_cost_little_and_come_back_for_everything(
    server: Server, alice: Person, bob: Person, person: Callable[..., Person]
) -> None:
    carol = person("carol", server)
    with ExitStack() as stack:
        hers = stack.enter_context(alice.connect())
        sender = Sender(hers, bob.name, text=LARGE)
        sender.send([0])
        slow = [stack.enter_context(bob.raw(device=f"slow-{n}", receive_buffer=NARROW)) for n in range(SLOW)]
        for raw in slow:
            raw.message()
            raw.say({"id": 1, "type": "sync"})
        quick = Reader(stack.enter_context(bob.connect(device="quick")))
        quick.sync()
        others = stack.enter_context(carol.connect())
        conversation = next(log for log in quick.events if log != quick.queue)
        log = quick.events[conversation]
        with server.bounded_memory(growth=GROWTH):
            while len(log) < SENDS:
                enough = min(len(log) + TOGETHER, SENDS)
                sender.send(range(len(log), enough), window=TOGETHER)
                quick.read_until(lambda enough=enough: len(log) >= enough)
                assert others.ask("message.send", client_id=str(enough), to=carol.name, text="hi")["type"] == "ok"
            wait_for(lambda: all(raw.broken() for raw in slow))
        history = whole_history(hers, conversation)
        assert as_messages(log) == history
        assert quick.stale == 0
        for raw in slow:
            had = of(conversation, rest(raw))
            assert 0 < len(had) < SENDS - 1, "it was not slow"
            with bob.connect(device="again") as again:
                missed = of(conversation, again.sync(cursors={conversation: had[-1]["seq"]}))
            assert as_messages([*had, *missed]) == history


@pytest.fixture(scope="module")
def patient(tmp_path_factory: pytest.TempPathFactory, cluster: Cluster, auth: AuthService) -> Iterator[Server]:
    """A server that waits long for those who do not read, and for those who are to read why they were closed."""
    patience: Sections = {"limits": {**SMALL_BUFFERS, "slow_reader_seconds": 600}, "timeouts": {"close": 300}}
    server = Server(tmp_path_factory.mktemp("patient"), cluster.create_database(), auth, patience)
    yield server.start()
    server.close()


def test_who_asks_and_does_not_read_the_answers_is_told_to_read_faster_and_closed(
    patient: Server, person: Callable[..., Person]
) -> None:
    alice, bob = person("alice", patient), person("bob", patient)
    with alice.connect() as hers:
        Sender(hers, bob.name, text=LARGE).send(range(500))
        conversation = hers.ask("conversation.list")["conversations"][0]["conversation"]
    with patient.bounded_memory(growth=GROWTH), bob.raw(receive_buffer=NARROW) as greedy:
        asked = ({"id": id, "type": "history.get", "conversation": conversation, "limit": 500} for id in range(400))
        greedy.send(b"".join(frame(TEXT, json.dumps(one).encode()) for one in asked))
        wait_for(lambda: f"{bob.name} does not read: closing" in patient.log)
        assert greedy.close_code() == 4001
    assert bob.http().get("/v1/ping").status == 200


def narrow_client(server: Server, person: Person) -> Client:
    """It reads when it is asked for an event, and hardly further."""
    address = urlsplit(server.url)
    narrow = socket.socket()
    narrow.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, NARROW)
    narrow.connect((address.hostname, address.port))
    return Client(server.url, person.token(), device="narrow", sock=narrow, max_queue=1)


def test_who_reads_again_in_time_is_told_what_became_stale_and_syncs_that(
    patient: Server, person: Callable[..., Person]
) -> None:
    alice, bob, carol = (person(name, patient) for name in ("alice", "bob", "carol"))
    with alice.connect() as hers, carol.connect() as quiet, narrow_client(patient, bob) as client:
        reader, sender = Reader(client), Sender(hers, bob.name, text=LARGE)
        reader.sync()
        sender.send(range(SENDS), window=64)
        before = quiet.ask("message.send", client_id="before", to=bob.name, text="before")
        conversation = hers.ask("conversation.list")["conversations"][0]["conversation"]
        reader.read_until(lambda: reader.cursors.get(conversation) == SENDS)
        reader.read_until(lambda: before["conversation"] in reader.events)
        after = [
            client.ask("message.send", client_id="after", to=bob.name, text="after")["seq"] for client in (hers, quiet)
        ]
        logs = (conversation, before["conversation"])
        reader.read_until(lambda: [reader.cursors[log] for log in logs] == after)
    assert reader.stale >= 1
    assert len(reader.events[conversation]) == SENDS + 1
