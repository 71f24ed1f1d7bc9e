"""A log that is read slowly, or not at all."""

import fcntl
import json
import os
import socket
import time
from collections.abc import Callable, Iterator
from io import FileIO, StringIO, TextIOWrapper
from pathlib import Path

import pytest
from twisted.logger import FileLogObserver, ILogObserver, Logger, textFileLogObserver

from chatd.workers import patient as patient_module
from chatd.workers.log_lines import as_json
from chatd.workers.patient import PatientObserver, patient

PIPE_BYTES = 65_536
"""What a pipe holds that nobody reads (pipe(7))."""
PATIENCE_S = 0.05


class Reading:
    """The other end of a log."""

    def __init__(
        self, read: int, write: int, form: Callable[[FileLogObserver], FileLogObserver] = lambda text: text
    ) -> None:
        self.read_end, self.write_end = read, write
        os.set_blocking(read, False)
        self.file = TextIOWrapper(FileIO(write, "w", closefd=False))
        observer = patient(form(textFileLogObserver(self.file)))
        assert isinstance(observer, PatientObserver)
        self.log = Logger(namespace="chatd.somewhere", observer=observer)

    def read(self) -> str:
        """What has come."""
        found = b""
        try:
            while data := os.read(self.read_end, PIPE_BYTES):
                found += data
        except BlockingIOError:
            pass
        return found.decode()


@pytest.fixture(params=["a pipe", "a socket"])
def reading(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[Reading]:
    monkeypatch.setattr(patient_module, "PATIENCE_S", PATIENCE_S)
    ends = os.pipe() if request.param == "a pipe" else [one.detach() for one in socket.socketpair()]
    yield Reading(*ends)
    for end in ends:
        os.close(end)


def test_what_is_read_is_whole(reading: Reading) -> None:
    reading.log.info("hello {who}", who="alice \N{GRINNING FACE} \ud800")
    reading.log.info("")
    reading.log.warn("{text}", text="x" * 10_000)
    first, second = reading.read().splitlines()
    assert first.endswith("[chatd.somewhere#info] hello alice \N{GRINNING FACE} \\ud800")
    assert second.endswith(" " + "x" * 10_000)


def test_while_nobody_reads_nobody_waits_and_how_much_was_left_out_is_said(reading: Reading) -> None:
    begun, said = time.monotonic(), 2000
    for n in range(said):
        reading.log.info("{n} {text}", n=n, text="x" * 6000)
    assert time.monotonic() - begun < said * PATIENCE_S / 2, "each of them was waited for"
    *whole, cut = reading.read().splitlines()
    assert 0 < len(whole) < said
    reading.log.info("and on")
    notice, last = reading.read().splitlines()[-2:]
    left_out = said - len(whole) - cut.endswith(" " + "x" * 6000)
    assert notice.endswith(f"[chatd.workers.patient#warn] {left_out} lines of the log were left out")
    assert last.endswith("[chatd.somewhere#info] and on")


def test_a_line_that_was_cut_is_ended_before_anything_follows() -> None:
    read, write = os.pipe()
    fcntl.fcntl(write, fcntl.F_SETPIPE_SZ, 8192)
    reading = Reading(read, write)
    reading.log.info("{text}", text="x" * 20_000)
    assert reading.read().endswith("xxx")
    reading.log.info("and on")
    end, notice, last = reading.read().splitlines()
    assert end == ""
    assert notice.endswith("1 lines of the log were left out")
    assert last.endswith("and on")
    os.close(read)
    os.close(write)


def test_whoever_reads_a_log_of_json_again_finds_json_behind_the_line_that_was_cut() -> None:
    read, write = os.pipe()
    fcntl.fcntl(write, fcntl.F_SETPIPE_SZ, 8192)
    reading = Reading(read, write, as_json)
    reading.log.info("{text}", text="x" * 20_000)
    assert reading.read().endswith("xxx")
    reading.log.info("and on")
    end, *said = reading.read().splitlines()
    assert end == ""
    assert [json.loads(line)["message"] for line in said] == ["1 lines of the log were left out", "and on"]
    os.close(read)
    os.close(write)


def test_a_reader_that_has_gone_is_nobodys_trouble() -> None:
    read, write = os.pipe()
    reading = Reading(read, write)
    os.close(read)
    for _ in range(3):
        reading.log.info("is anybody there?")
    os.close(write)


def test_files_and_what_is_no_file_are_written_to_as_ever(tmp_path: Path) -> None:
    def nobody(event: object) -> None:
        """Somebody's own observer."""

    with open(tmp_path / "log", "w") as file:
        others: list[ILogObserver] = [textFileLogObserver(file), textFileLogObserver(StringIO()), nobody]
        assert [patient(one) for one in others] == others
    assert patient(others[0]) is others[0], "a file that is closed"
