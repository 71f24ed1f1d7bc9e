"""Clients that keep to the rules: one sends again what may be sent again, the other resumes from where it is."""

import time
from collections import Counter, deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from itertools import count, takewhile
from threading import Event
from typing import Any

from tests.kit.clients import Client, Message
from tests.kit.waiting import WITHIN_S

PAUSE_S = 0.05
PATIENCE_S = 120.0
RETRYABLE = frozenset({"overloaded", "unavailable", "outcome_unknown", "rate_limited"})


def ask(client: Client, type: str, **fields: Any) -> Message:
    """The reply to a command that is sent again for as long as that is allowed, and not for ever."""
    deadline = time.monotonic() + PATIENCE_S
    while (reply := client.ask(type, **fields))["type"] != "ok":
        assert time.monotonic() < deadline, f"{reply} again and again"
        _pause(reply["error"])
    return reply


def _pause(error: Message) -> None:
    """The client's pace, for a server in trouble; AssertionError if the same may not be sent again."""
    assert error["code"] in RETRYABLE, error
    assert error["retryable"] is True
    time.sleep(PAUSE_S)


class Sender:
    """Sends messages to people in turn, so many under way at once, each until it is acknowledged.

    ``codes`` counts the errors; one that may not be retried fails the test, as does a long time of nothing else.
    ``acknowledged`` is seq by number.
    """

    def __init__(self, client: Client, *to: str, prefix: str = "m", text: str = "", within: float = WITHIN_S) -> None:
        self._client = client
        self._to = to
        self._prefix = prefix
        self._text = text
        self._within = within
        self.codes: Counter[str] = Counter()
        self.acknowledged: dict[int, int] = {}

    def send(self, numbers: Iterable[int], *, window: int = 32) -> None:
        """Return when all are acknowledged. TimeoutError if the server is silent for ``within`` seconds.

        A number is taken when there is room for it in the window.
        """
        new, again, under_way = iter(numbers), deque[int](), dict[int, int]()
        deadline = time.monotonic() + PATIENCE_S
        while True:
            while len(under_way) < window:
                number = again.popleft() if again else next(new, None)
                if number is None:
                    break
                under_way[self._say(number)] = number
            if not under_way:
                return
            reply = self._client.next_reply(within=self._within)
            number = under_way.pop(reply["id"])
            if reply["type"] == "ok":
                self.acknowledged[number] = reply["seq"]
                deadline = time.monotonic() + PATIENCE_S
            else:
                assert time.monotonic() < deadline, f"{reply} again and again"
                self._note(reply["error"])
                again.append(number)

    def _say(self, number: int) -> int:
        name = f"{self._prefix}-{number}"
        return self._client.send(
            "message.send", client_id=name, to=self._to[number % len(self._to)], text=self._text or name
        )

    def _note(self, error: Message) -> None:
        self.codes[error["code"]] += 1
        _pause(error)


@contextmanager
def sending(sender: Sender, *, start: int = 0, window: int = 32) -> Iterator[Callable[[], None]]:
    """``sender`` sends meanwhile, in a thread of its own, for as long as the test has use for it.

    What is given is to be called then: it returns once all is acknowledged, and raises what the sender raised.
    """
    enough = Event()
    numbers = takewhile(lambda _: not enough.is_set(), count(start))
    with ThreadPoolExecutor(1) as pool:
        done = pool.submit(sender.send, numbers, window=window)

        def finish() -> None:
            enough.set()
            done.result()

        try:
            yield finish
        finally:
            enough.set()


class Reader:
    """Follows everything that its person may see: it syncs, reads on, and syncs anew what has become stale.

    ``events`` is what it was given, by log; that they follow each other without gap or repeat is checked as they come.
    """

    def __init__(self, client: Client) -> None:
        self._client = client
        self.events: dict[str, list[Message]] = {}
        self.stale = 0
        self._epoch: str | None = None

    @property
    def queue(self) -> str:
        """The person's event queue."""
        return str(self._client.hello["queue"])

    def sync(self) -> None:
        """Get what was missed since the last event; what a sync brought that failed is not asked for again."""
        deadline = time.monotonic() + PATIENCE_S
        while True:
            reply = self._client.ask("sync", cursors=self.cursors, epoch=self._epoch)
            for event in self._client.read_events():
                self._take(event)
            if reply["type"] == "ok":
                self._epoch = reply["epoch"]
                return
            assert time.monotonic() < deadline, f"{reply} again and again"
            _pause(reply["error"])

    def resume(self, client: Client) -> None:
        """Go on with another connection."""
        self._client = client
        self.sync()

    @property
    def cursors(self) -> dict[str, int]:
        """How far it has come in each log."""
        return {log: events[-1]["seq"] for log, events in self.events.items()}

    def read_until(self, enough: Callable[[], bool], *, within: float = WITHIN_S) -> None:
        """Take events until there are enough; TimeoutError if none comes for ``within`` seconds."""
        while not enough():
            self._take(self._client.event(within=within))

    def _take(self, event: Message) -> None:
        if event["type"] == "conversation.stale":
            self.stale += 1
            log = event["conversation"]
            ask(self._client, "sync", scope="named", cursors={log: self.cursors.get(log, 0)})
        elif "seq" in event and event["type"] not in ("conversation.delivered", "conversation.read"):
            log = self.events.setdefault(event["conversation"], [])
            expected = log[-1]["seq"] + 1 if log else 1
            assert event["seq"] == expected, f"{event['seq']} where {expected} was to come"
            log.append(event)
