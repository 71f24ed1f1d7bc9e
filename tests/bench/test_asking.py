"""One command at a time."""

from threading import Thread

import pytest

from bench.asking import Asker, ask_together, drain
from bench.errors import Violation
from tests.bench.line import Line


def answering(line: Line, *texts: bytes) -> Thread:
    """Say these as soon as something was asked."""

    def answer() -> None:
        line.server.recv(4096)
        line.say(*texts)

    thread = Thread(target=answer)
    thread.start()
    return thread


def test_a_reply_is_told_from_the_events_around_it(lines: list[Line]) -> None:
    heard: list[bytes] = []
    thread = answering(lines[0], b'{"type":"message.created"}', b'{"id":1,"type":"ok","seq":5}')
    assert Asker(lines[0].client, heard.append).ask("ping")["seq"] == 5
    thread.join()
    assert heard == [b'{"type":"message.created"}']


def test_a_refusal_is_a_violation_that_says_why(lines: list[Line]) -> None:
    thread = answering(lines[0], b'{"id":1,"type":"error","error":{"code":"not_found"}}')
    with pytest.raises(Violation, match="not_found"):
        Asker(lines[0].client).ask("ping")
    thread.join()


def test_asked_together_it_takes_until_the_last_has_its_reply(lines: list[Line]) -> None:
    threads = [answering(line, b'{"id":1,"type":"ok"}') for line in lines]
    askers = [Asker(line.client) for line in lines]
    assert ask_together(askers, "ping") > 0
    assert all(asker.reply for asker in askers)
    for thread in threads:
        thread.join()


def test_what_is_drained_is_not_there_any_more(lines: list[Line]) -> None:
    lines[0].say(b"x" * 50, b"y")
    drain([line.client for line in lines])
    assert lines[0].client.receive().data == b""
