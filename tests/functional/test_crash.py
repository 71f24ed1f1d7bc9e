"""The server is killed, or told to stop, in the middle of sends: what it had acknowledged stands."""

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from http.client import HTTPException

import pytest

from tests.kit.clients import HttpClient, Message
from tests.kit.people import Person
from tests.kit.raw import CLOSE, RawSocket, parsed
from tests.kit.server import Server
from tests.kit.talk import as_messages, assert_follows, of, send_frames, whole_history

SENDS = 1000
TRIES = 5


class HttpSender:
    """Sends one message after the other over HTTP until the server is gone. ``acknowledged``: seq by number."""

    def __init__(self, client: HttpClient, to: str) -> None:
        self._client = client
        self._to = to
        self.tried = 0
        self.acknowledged: dict[int, int] = {}

    def send(self, number: int) -> None:
        response = self._client.post("/v1/messages", client_id=f"http-{number}", to=self._to, text=f"http-{number}")
        assert response.status == 200, response
        assert self.acknowledged.setdefault(number, response.body["seq"]) == response.body["seq"]

    def run(self) -> None:
        with suppress(OSError, HTTPException):
            while True:
                self.tried += 1
                self.send(self.tried)

    def repeat(self) -> None:
        """Send everything again."""
        for number in range(1, self.tried + 1):
            self.send(number)


@contextmanager
def sending_over_http(sender: HttpSender) -> Iterator[None]:
    with ThreadPoolExecutor(1) as pool:
        running = pool.submit(sender.run)
        yield
        running.result()


def acknowledgements(raw: RawSocket, at_least: int) -> dict[int, int]:
    """The seqs of the messages acknowledged, by number: at least so many, or all that come before the end."""
    found: dict[int, int] = {}
    with suppress(EOFError, ConnectionResetError):
        while len(found) < at_least:
            received = raw.receive()
            if received.opcode == CLOSE:
                assert int.from_bytes(received.payload[:2], "big") == 1012
                break
            reply = parsed(received)
            if "id" in reply:
                assert reply["type"] == "ok", reply
                found[reply["id"]] = reply["seq"]
    return found


@pytest.mark.parametrize("kill_after", [1, 300])
def test_nothing_acknowledged_is_lost_and_nothing_doubled_when_the_server_is_killed(
    kill_after: int, start_server: Callable[..., Server], person: Callable[..., Person]
) -> None:
    """Where this process was held up for so long that the blow came after the last send, it is dealt once more."""
    server = start_server()
    assert any(
        _killed_in_the_middle(server, person("alice", server), person("bob", server), kill_after) for _ in range(TRIES)
    ), "the server was never killed in the middle of sends"


def _killed_in_the_middle(server: Server, alice: Person, bob: Person, kill_after: int) -> bool:
    """Kill the server after so many acknowledgements, and check everything; whether any were still to come."""
    over_http = HttpSender(alice.http(), bob.name)
    with bob.connect() as his, alice.raw() as hers:
        hers.message()
        his.sync()
        with sending_over_http(over_http):
            hers.send(send_frames(range(SENDS), bob.name))
            before = acknowledgements(hers, kill_after)
            server.kill()
        before |= acknowledgements(hers, SENDS)
        seen = his.read_until_end()
    assert kill_after <= len(before)
    server.start()
    over_http.repeat()
    with alice.raw() as hers:
        hers.message()
        hers.send(send_frames(range(SENDS), bob.name))
        after = acknowledgements(hers, SENDS)
    assert len(after) == SENDS
    assert before.items() <= after.items(), "an acknowledged message has moved"
    _check_everything(alice, bob, seen, after, over_http.acknowledged)
    return len(before) < SENDS


def _check_everything(
    alice: Person, bob: Person, seen: list[Message], sent: dict[int, int], sent_over_http: dict[int, int]
) -> None:
    """``seen``: the events that had reached bob before. He resumes from there; both read everything."""
    with bob.connect() as his, alice.connect() as hers, bob.connect(device="new") as new:
        conversation = hers.ask("conversation.list")["conversations"][0]["conversation"]
        history = whole_history(hers, conversation)
        assert whole_history(his, conversation) == history
        had = of(conversation, seen)
        cursors = {event["conversation"]: event["seq"] for event in seen}
        missed = of(conversation, his.sync(cursors=cursors))
        from_the_start = of(conversation, new.sync())
    assert_follows(had + missed, 0)
    assert as_messages(had + missed) == history
    assert as_messages(from_the_start) == history
    texts = {message["text"]: message["seq"] for message in history}
    assert len(texts) == len(history) == len(sent) + len(sent_over_http)
    assert texts == {f"m-{n}": seq for n, seq in sent.items()} | {f"http-{n}": seq for n, seq in sent_over_http.items()}
    for seqs in (sent, sent_over_http):
        assert [seq for _, seq in sorted(seqs.items())] == sorted(seqs.values()), "not in the order sent"


def test_told_to_stop_it_acknowledges_what_it_commits_and_says_come_back(
    start_server: Callable[..., Server], person: Callable[..., Person]
) -> None:
    server = start_server()
    alice, bob = person("alice", server), person("bob", server)
    with bob.connect() as his, alice.raw() as hers:
        hers.message()
        his.sync()
        hers.send(send_frames(range(SENDS), bob.name))
        before = acknowledgements(hers, 1)
        assert server.stop() == 0
        before |= acknowledgements(hers, SENDS)
        code, _ = his.closed()
        seen = [event for event in his.read_events() if event["type"] != "goaway"]
    assert code == 1012
    server.start()
    with alice.connect() as hers:
        (listed,) = hers.ask("conversation.list")["conversations"]
        committed = whole_history(hers, listed["conversation"])
        assert {message["text"]: message["seq"] for message in committed} == {f"m-{n}": s for n, s in before.items()}
    with alice.raw() as hers:
        hers.message()
        hers.send(send_frames(range(SENDS), bob.name))
        after = acknowledgements(hers, SENDS)
    assert before.items() <= after.items()
    _check_everything(alice, bob, seen, after, {})
