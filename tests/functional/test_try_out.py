"""``--dev`` with workers: the parent runs PostgreSQL for all of them, and takes it along however it ends."""

import os
import re
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from signal import SIGKILL, SIGTERM

import pytest

from chatd.workers.postgres_folder import data_folder
from chatd.workers.postgres_server import recorded_postmaster
from tests.kit.clients import HttpClient
from tests.kit.ports import reserve_port
from tests.kit.postgres import has_ended
from tests.kit.server import ENDS_WITH_US, FOREGROUND, ROOT, TWISTD
from tests.kit.waiting import WITHIN_S, wait_for
from tests.kit.workers import children, gone


class TryOut:
    """A try-out, with two workers unless said otherwise, whose state stays from start to start."""

    def __init__(self, folder: Path) -> None:
        self._state = folder / "state"
        self._log = folder / "log"
        self._reserved = reserve_port()
        self._port: int = self._reserved.getsockname()[1]
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Return when it serves."""
        self.begin()
        wait_for(self._ready)

    def begin(self, workers: int = 2) -> None:
        """Have it start."""
        flags = ["--dev", f"--workers={workers}", f"--port={self._port}", f"--state-dir={self._state}"]
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(
                [*ENDS_WITH_US, *TWISTD, *FOREGROUND, "chatd", *flags],
                cwd=ROOT,
                stdout=log,
                stderr=log,
                stdin=subprocess.DEVNULL,
            )

    @property
    def logged(self) -> str:
        return self._log.read_text()

    def _ready(self) -> bool:
        assert self._process is not None
        assert self._process.poll() is None, self.logged
        try:
            return HttpClient(f"http://127.0.0.1:{self._port}").get("/readyz").status == 200
        except OSError:
            return False

    @property
    def http(self) -> HttpClient:
        """Alice."""
        (token,) = re.findall(r"ALICE=(\S+)", (self._state / "tokens.env").read_text())
        return HttpClient(f"http://127.0.0.1:{self._port}", token)

    def end(self, signal: int) -> int:
        """End the parent; return when its workers and PostgreSQL are gone, with its exit code."""
        assert self._process is not None
        process, self._process = self._process, None
        workers = children(process.pid)
        postmaster = recorded_postmaster(data_folder(self._state))
        assert len(workers) == 2
        assert postmaster is not None
        process.send_signal(signal)
        code = process.wait(WITHIN_S)
        wait_for(lambda: all(gone(pid) for pid in workers))
        wait_for(lambda: has_ended(postmaster.pid))
        return code

    def give_up(self) -> int:
        """End it before it has come so far; its exit code."""
        assert self._process is not None
        process, self._process = self._process, None
        process.terminate()
        return process.wait(WITHIN_S)

    def close(self) -> None:
        self._reserved.close()
        if self._process is not None:
            self._process.kill()
            self._process.wait()


@pytest.fixture
def try_out() -> Iterator[TryOut]:
    # Where the server's user can get to, if we are root.
    with tempfile.TemporaryDirectory(prefix="chatd-test-") as folder:
        os.chmod(folder, 0o711)
        with closing(TryOut(Path(folder))) as one:
            yield one


def test_when_the_parent_is_killed_the_database_goes_too_and_a_restart_has_everything(try_out: TryOut) -> None:
    try_out.start()
    message = {"client_id": "1", "to": "bob", "text": "hi"}
    sent = try_out.http.post("/v1/messages", **message)
    assert sent.status == 200
    assert try_out.end(SIGKILL) == -SIGKILL
    try_out.start()
    assert try_out.http.post("/v1/messages", **message).body == sent.body
    assert try_out.end(SIGTERM) == 0


@pytest.mark.parametrize("workers", [0, 2])
def test_one_that_is_told_to_end_while_its_database_is_made_ends_in_good_order(try_out: TryOut, workers: int) -> None:
    try_out.begin(workers)
    wait_for(lambda: "making a database" in try_out.logged)
    assert try_out.give_up() == 0
    assert "cannot go on" not in try_out.logged
