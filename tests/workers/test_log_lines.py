"""The log as JSON: what a program finds in a line, and what no line holds."""

import json
import os
from collections.abc import Callable
from io import StringIO
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from twisted.application.service import Application, IService, MultiService, Service
from twisted.logger import (
    FileLogObserver,
    ILogObserver,
    LogEvent,
    Logger,
    formatEvent,
    globalLogPublisher,
    textFileLogObserver,
)
from twisted.python.failure import Failure

from chatd.workers.control import Logged
from chatd.workers.first_lines import JsonFromTheStart
from chatd.workers.log_lines import json_line
from chatd.workers.logs import limit_log
from chatd.workers.relay import Relay, publish

TIME = 1_764_110_104.123456


def line_of(log: Callable[[Logger], object]) -> dict[str, Any]:
    """The one line of the one event that is logged."""
    events: list[LogEvent] = []
    log(Logger(namespace="chatd.somewhere", observer=events.append))
    line = json_line(events[0])
    assert line is not None
    assert line.endswith("}\n")
    assert line[:-1].isascii()
    assert line[:-1].isprintable()
    return dict(json.loads(line))


def failing(log: Logger) -> None:
    try:
        raise ZeroDivisionError("a\ndefect")
    except ZeroDivisionError:
        log.failure("{what} failed", Failure(), what="it", connection="c-1")


def test_a_line_says_when_where_who_and_what() -> None:
    events: list[LogEvent] = []
    log = Logger(namespace="chatd.somewhere", observer=events.append)
    log.warn("{user} is away", user="alice", request="r-1", secret="hidden")
    assert json.loads(json_line({**events[0], "log_time": TIME}) or "") == {
        "time": "2025-11-25T22:35:04.123456Z",
        "level": "warn",
        "source": "chatd.somewhere",
        "pid": os.getpid(),
        "message": "alice is away",
        "request": "r-1",
        "user": "alice",
    }


def test_a_traceback_stands_in_a_member_of_its_own() -> None:
    line = line_of(failing)
    assert (line["message"], line["level"], line["connection"]) == ("it failed", "critical", "c-1")
    assert line["failure"].startswith("Traceback ")
    assert line["failure"].endswith("ZeroDivisionError: a\ndefect")


@given(st.text(max_size=40))
def test_whatever_a_peer_writes_comes_back_from_one_clean_line(text: str) -> None:
    line = line_of(lambda log: log.info("{user} said {what!r}", user=text, what=text))
    assert (line["user"], line["message"]) == (text, f"{text} said {text!r}")


@pytest.mark.parametrize("text", ["\x7f", "\x9b31m", "\u202e", "\u2028", "\x00", '"}\n{"level":"critical"'])
def test_nothing_in_a_text_disturbs_who_reads_the_log(text: str) -> None:
    assert line_of(lambda log: log.info("{path}", path=text))["path"] == text


def test_half_a_character_is_shown_as_such() -> None:
    line = line_of(lambda log: log.info("{user} is here", user="a\ud800"))
    assert (line["user"], line["message"]) == ("a\\ud800", "a\\ud800 is here")


def test_what_is_no_text_is_told_all_the_same() -> None:
    line = line_of(lambda log: log.debug("{method} {status}", method=b"GET\xff", status=200, path=None, code=KeyError))
    assert (line["method"], line["status"], line["code"]) == ("GET\\xff", 200, str(KeyError))
    assert "path" not in line


def test_what_twisteds_older_log_says_comes_along() -> None:
    line = json.loads(json_line({"log_time": TIME, "log_format": "hello", "log_system": "-"}) or "")
    assert (line["message"], line["level"], line["source"]) == ("hello", "info", "-")


def test_an_event_that_says_nothing_leaves_no_line() -> None:
    assert json_line({"log_time": TIME, "log_format": ""}) is None


def test_a_workers_event_says_which_worker_it_was_and_is_otherwise_the_same() -> None:
    told: list[Logged] = []
    failing(Logger(namespace="chatd.somewhere", observer=Relay(told.append)))
    events: list[LogEvent] = []
    globalLogPublisher.addObserver(events.append)
    publish(3, 4711, told[0])
    globalLogPublisher.removeObserver(events.append)
    line = json.loads(json_line(events[0]) or "")
    own = line_of(failing)
    assert (line.pop("worker"), line.pop("pid"), own.pop("pid")) == (3, 4711, os.getpid())
    assert line.keys() == own.keys()
    assert (line["message"], line["connection"], line["level"]) == ("it failed", "c-1", "critical")
    assert line["failure"].splitlines()[-2:] == ["builtins.ZeroDivisionError: a", "defect"]


# -- which observers write it --


@pytest.fixture
def observers(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """All that there are during the test."""
    present: list[Any] = []
    monkeypatch.setattr(globalLogPublisher, "_observers", present)
    return present


def test_files_get_json_a_parent_gets_events_and_others_go_on_with_text(observers: list[Any]) -> None:
    file, told, others = StringIO(), list[Logged](), list[LogEvent]()
    observers.extend([textFileLogObserver(file), Relay(told.append), others.append])
    set_level = limit_log("info", "json")
    log = Logger(observer=globalLogPublisher)
    log.debug("too much")
    log.info("{user}", user="\x1b")
    set_level("debug")
    log.debug("now it is wanted")
    assert [json.loads(line)["message"] for line in file.getvalue().splitlines()] == ["\x1b", "now it is wanted"]
    assert [one.text for one in told] == ["\x1b", "now it is wanted"]
    assert others[0]["user"] == "\\x1b"


@pytest.mark.parametrize("form", ["text", "json"])
def test_what_a_worker_tells_disturbs_nobody_who_writes_text(observers: list[Any], form: str) -> None:
    told, others = list[Logged](), list[LogEvent]()
    Logger(observer=Relay(told.append)).info("{path}", path="\x1b[31m\n2025 forged")
    observers.append(others.append)
    limit_log("info", form)
    publish(1, 4711, told[0])
    assert formatEvent(others[0]) == "\\x1b[31m\\n2025 forged"


@pytest.mark.parametrize(
    ("options", "written"),
    [({"logfile": "{tmp}/log", "nodaemon": True}, True), ({"syslog": True}, False), ({"logger": "mine"}, False)],
)
def test_twistd_begins_with_json_where_it_would_write_to_a_file(
    options: dict[str, Any], written: bool, tmp_path: Any
) -> None:
    options = {name: value.format(tmp=tmp_path) if isinstance(value, str) else value for name, value in options.items()}
    application = Application("chatd")
    service = Service()
    JsonFromTheStart(service, options).setServiceParent(application)
    observer = application.getComponent(ILogObserver, None)
    assert isinstance(observer, FileLogObserver) is written
    if written:
        Logger(observer=observer).info("starting up")
        assert json.loads((tmp_path / "log").read_text())["message"] == "starting up"
    (top,) = IService(application)
    assert isinstance(top, MultiService)
    assert list(top) == [service]
