"""People who use a server without a pause while a test does something to it."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from http.client import HTTPException
from threading import Event
from typing import Protocol

from websockets.exceptions import WebSocketException

from tests.kit.clients import HttpClient
from tests.kit.people import Person
from tests.kit.resilient import PAUSE_S, Reader, Sender
from tests.kit.talk import whole_history
from tests.kit.waiting import wait_for

AT_ONCE = 20


class Served(Protocol):
    """A server, as far as it is knocked at."""

    http_url: str


class Traffic:
    """Somebody sends to somebody, each message until it is acknowledged, and comes back whenever the server sends
    them away or goes; somebody else connects anew all the time.

    ``acknowledged`` is seq by number. ``refused`` counts connects that nobody waited for, ``cut`` requests that were
    not answered.
    """

    def __init__(self, server: Served, alice: Person, bob: Person) -> None:
        self._server = server
        self._alice = alice
        self._bob = bob
        self._enough = Event()
        self.acknowledged: dict[int, int] = {}
        self.refused = 0
        self.cut = 0

    @contextmanager
    def flowing(self) -> Iterator[None]:
        """Traffic for a block; what went wrong in it is raised at its end."""
        with ThreadPoolExecutor(2) as pool:
            running = [pool.submit(self._send), pool.submit(self._knock)]
            try:
                yield
            finally:
                self._enough.set()
            for one in running:
                one.result()

    def wait_for_more(self, count: int) -> None:
        """Return when so many more have been acknowledged."""
        enough = len(self.acknowledged) + count
        wait_for(lambda: len(self.acknowledged) >= enough)

    def _send(self) -> None:
        first = 0
        while not self._enough.is_set():
            first = self._send_on_one_connection(first)

    def _send_on_one_connection(self, first: int) -> int:
        """Go on from there until the connection ends; the first number that is not known to be acknowledged."""
        try:
            with self._alice.connect() as client:
                sender = Sender(client, self._bob.name)
                while not self._enough.is_set():
                    sender.send(range(first, first + AT_ONCE), window=AT_ONCE)
                    for number in range(first, first + AT_ONCE):
                        self.acknowledged[number] = sender.acknowledged[number]
                    first += AT_ONCE
        except (OSError, EOFError, WebSocketException):
            self._enough.wait(PAUSE_S)
        return first

    def _knock(self) -> None:
        while not self._enough.is_set():
            try:
                HttpClient(self._server.http_url, self._alice.token()).get("/v1/ping")
            except ConnectionRefusedError:
                self.refused += 1
            except (OSError, HTTPException):
                self.cut += 1

    def check(self) -> None:
        """Nobody was refused. Everything acknowledged is there, once, and where it was said to be."""
        assert self.refused == 0
        with self._bob.connect() as his:
            conversation = his.ask("conversation.list")["conversations"][0]["conversation"]
            history = whole_history(his, conversation)
            reader = Reader(his)
            reader.sync()
        texts = {message["text"]: message["seq"] for message in history}
        assert len(texts) == len(history)
        assert {f"m-{n}": seq for n, seq in self.acknowledged.items()}.items() <= texts.items()
        assert [event["text"] for event in reader.events[conversation]] == [message["text"] for message in history]
