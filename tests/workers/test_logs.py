"""What reaches the observers of the log."""

import pytest
from twisted.logger import LogEvent, Logger, LogLevel, formatEvent, globalLogPublisher

from chatd.workers.logs import EscapingObserver, limit_log


@pytest.fixture
def observers(monkeypatch: pytest.MonkeyPatch) -> list[list[LogEvent]]:
    """What two observers hear, which are all that there are during the test."""
    heard: list[list[LogEvent]] = [[], []]
    monkeypatch.setattr(globalLogPublisher, "_observers", [events.append for events in heard])
    return heard


@pytest.mark.parametrize(
    ("level", "heard"),
    [
        ("debug", ["debug", "info", "warn", "error", "critical"]),
        ("info", ["info", "warn", "error", "critical"]),
        ("warn", ["warn", "error", "critical"]),
        ("error", ["error", "critical"]),
        ("critical", ["critical"]),
    ],
)
def test_every_observer_hears_of_the_level_and_what_is_more_severe(
    observers: list[list[LogEvent]], level: str, heard: list[str]
) -> None:
    limit_log(level)
    log = Logger(observer=globalLogPublisher)
    for one in LogLevel.iterconstants():
        log.emit(one, one.name)
    assert [[event["log_format"] for event in events] for events in observers] == [heard, heard]


def formatted(template: str, **fields: object) -> str:
    events: list[LogEvent] = []
    Logger(observer=EscapingObserver(events.append)).info(template, **fields)
    return formatEvent(events[0])


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("plain", "plain"),
        ("é \U0001f600 語", "é \U0001f600 語"),
        ("a\nb\r", "a\\nb\\r"),
        ("\x1b[31m", "\\x1b[31m"),
        ("\x00\x7f\x9b", "\\x00\\x7f\\x9b"),
        ("\u202eevil", "\\u202eevil"),
        ("\u2028", "\\u2028"),
        ("\ud800", "\\ud800"),
        ("{user} %s", "{user} %s"),
    ],
)
def test_texts_are_shown_in_printable_characters_alone(text: str, shown: str) -> None:
    assert formatted("{user} said", user=text) == f"{shown} said"


def test_what_is_no_text_stays_what_it_is() -> None:
    assert formatted("{count} of {path}", count=3, path=b"\n") == "3 of b'\\n'"


def test_the_loggers_own_fields_are_left_alone() -> None:
    assert formatted("two\nlines") == "two\nlines"
