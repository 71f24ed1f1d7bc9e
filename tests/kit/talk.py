"""What the tests have people say, and how they look at what became of it."""

import json
from collections.abc import Iterable, Iterator

from tests.kit.clients import Client, Message
from tests.kit.raw import TEXT, RawSocket, frame
from tests.kit.resilient import ask

PAGE = 500


def send_command(number: int, to: str, *, prefix: str = "m", text: str = "") -> Message:
    """The command that sends the message of that number. Its ``client_id`` and text follow from the number."""
    name = f"{prefix}-{number}"
    return {"id": number, "type": "message.send", "client_id": name, "to": to, "text": text or name}


def send_frames(numbers: Iterable[int], to: str, *, prefix: str = "m", text: str = "") -> bytes:
    """The frames of many such commands, to be sent at one go."""
    return b"".join(
        frame(TEXT, json.dumps(send_command(number, to, prefix=prefix, text=text)).encode()) for number in numbers
    )


def acknowledged(raw: RawSocket, number: int) -> dict[int, int]:
    """The seqs of so many messages sent, by the number of each."""
    found: dict[int, int] = {}
    while len(found) < number:
        message = raw.message()
        if "id" in message:
            assert message["type"] == "ok", message
            found[message["id"]] = message["seq"]
    return found


def whole_history(client: Client, conversation: str) -> list[Message]:
    """All messages of a conversation, read page by page, however often that is put off."""
    return list(_pages(client, conversation))


def _pages(client: Client, conversation: str) -> Iterator[Message]:
    last, newer = 0, True
    while newer:
        page = ask(client, "history.get", conversation=conversation, after=last, limit=PAGE)
        seqs = [last, *(message["seq"] for message in page["messages"])]
        assert seqs == sorted(set(seqs))
        assert len(seqs) > 1 or not page["newer"]
        yield from page["messages"]
        last, newer = seqs[-1], page["newer"]


def of(conversation: str, events: Iterable[Message]) -> list[Message]:
    """The events of one conversation's log."""
    return [event for event in events if event.get("conversation") == conversation and "seq" in event]


def assert_follows(events: Iterable[Message], after: int) -> None:
    """Each event stands where it should: the first behind ``after``, no gap, no repeat, in order."""
    seqs = [event["seq"] for event in events]
    assert seqs == list(range(after + 1, after + 1 + len(seqs)))


def as_messages(events: Iterable[Message]) -> list[Message]:
    """Events of a log as history shows them."""
    return [{name: value for name, value in event.items() if name != "type"} for event in events]
