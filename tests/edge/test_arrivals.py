"""Who comes is noted and introduced, and neither is a reason not to let them in."""

from collections.abc import Sequence

import pytest
from twisted.internet.task import Clock
from twisted.logger import LogLevel, capturedLogs

from chatd.edge.arrivals import Arrivals
from chatd.edge.sightings import Sightings
from chatd.errors import Unavailable
from chatd.handlers.introductions import Introductions
from chatd.records.logs import Entry
from chatd.records.tokens import Claims
from chatd.security.sealing import Unreadable
from chatd.store.memory.people import MemoryProfiles
from tests.kit.at_once import at_once
from tests.kit.world import Chat

TOKEN = Claims(user="alice", issuer="auth", expires_at=1e12, name="Alice")


class Profiles(MemoryProfiles):
    """Profiles in memory, which cannot be read while there is a ``fault``."""

    fault: Exception | None = None

    async def profiles(self, users: Sequence[str]) -> list[Entry]:
        if self.fault is not None:
            raise self.fault
        return await super().profiles(users)


@pytest.mark.parametrize(
    ("fault", "level"),
    [
        (Unavailable(), LogLevel.warn),
        (Unreadable("wrapped by another master key"), LogLevel.warn),
        (ZeroDivisionError("a defect"), LogLevel.critical),
    ],
)
def test_what_cannot_be_taken_from_a_token_is_told_and_taken_the_next_time(fault: Exception, level: LogLevel) -> None:
    chat = Chat()
    store = Profiles(chat.database.people)
    introductions = Introductions(store, chat.authors, chat.reader, chat.bus, chat.exchange)
    arrivals = Arrivals(Sightings(chat.stores.devices, Clock().seconds), introductions)
    store.fault = fault
    with capturedLogs() as events:
        arrivals.note(TOKEN, "phone")
    assert [event["log_level"] for event in events] == [level]
    store.fault = None
    with capturedLogs() as events:
        for _ in range(2):
            arrivals.note(TOKEN, "phone")
    assert events == []
    assert [one.author for one in at_once(store.profiles(["alice"]))] == ["alice"]
    assert [one.device for one in at_once(chat.stores.devices.devices("alice"))] == ["phone"]
