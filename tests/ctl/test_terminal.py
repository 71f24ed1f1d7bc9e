"""Results go to standard output, progress to standard error: in one line that changes, or a line now and then."""

import io
import json

import pytest
from twisted.internet.task import Clock

from chatd.ctl.terminal import LINE_SECONDS, TERMINAL_SECONDS, Terminal


class Watched(io.StringIO):
    """A terminal."""

    def isatty(self) -> bool:
        return True


@pytest.fixture
def clock() -> Clock:
    return Clock()


def test_a_result_is_plain_lines_or_one_object(clock: Clock) -> None:
    for structured in (False, True):
        out, err = io.StringIO(), io.StringIO()
        Terminal(clock.seconds, structured=structured, out=out, err=err).result({"keys": 2}, "2 keys", "all well")
        assert err.getvalue() == ""
        if structured:
            assert json.loads(out.getvalue()) == {"keys": 2}
            assert len(out.getvalue().splitlines()) == 1
        else:
            assert out.getvalue() == "2 keys\nall well\n"


def test_where_nobody_watches_long_work_adds_a_line_now_and_then(clock: Clock) -> None:
    err = io.StringIO()
    progress = Terminal(clock.seconds, structured=False, out=io.StringIO(), err=err).progress("keys")
    for done in range(1, 13):
        progress.show(1000 * done, 20_000)
        clock.advance(LINE_SECONDS / 5)
    progress.end()
    assert err.getvalue() == "keys: 6,000 of 20,000, 1,200 a second\nkeys: 11,000 of 20,000, 1,100 a second\n"


def test_short_work_shows_no_progress_where_nobody_watches(clock: Clock) -> None:
    err = io.StringIO()
    progress = Terminal(clock.seconds, structured=False, out=io.StringIO(), err=err).progress("keys")
    progress.show(5, 5)
    progress.end()
    assert err.getvalue() == ""


def test_on_a_terminal_one_line_changes_and_its_last_state_stays(clock: Clock) -> None:
    err = Watched()
    progress = Terminal(clock.seconds, structured=False, out=io.StringIO(), err=err).progress("keys")
    progress.show(1, 4)
    clock.advance(TERMINAL_SECONDS)
    progress.show(2, 4)
    progress.show(4, 4)
    progress.end()
    assert err.getvalue().split("\r")[1:] == ["keys: 2 of 4, 10 a second\x1b[K", "keys: 4 of 4, 20 a second\x1b[K\n"]


def test_on_a_terminal_work_that_found_nothing_leaves_no_line(clock: Clock) -> None:
    err = Watched()
    Terminal(clock.seconds, structured=False, out=io.StringIO(), err=err).progress("keys").end()
    assert err.getvalue() == ""
