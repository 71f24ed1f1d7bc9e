"""Processes of other programs, for as long as a block lasts."""

import os
import shutil
import socket
import subprocess
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager
from pathlib import Path

from bench.errors import BenchError

PROJECT = Path(__file__).resolve().parent.parent
"""Where they are started."""
READY_WITHIN_S = 30.0
STOPS_WITHIN_S = 20.0
_POLL_S = 0.02


@contextmanager
def spawn(command: Sequence[str], log: Path) -> Iterator[subprocess.Popen[bytes]]:
    """Run this until the block ends; it ends with this process, too, however that ends (PR_SET_PDEATHSIG).

    Its output goes to the end of ``log``.
    """
    setpriv = shutil.which("setpriv")
    prefix = [setpriv, "--pdeathsig", "TERM", "--"] if setpriv else []
    # chatd's settings come from the bench alone.
    environment = {name: value for name, value in os.environ.items() if not name.startswith("CHATD_")}
    with log.open("ab") as output:
        process = subprocess.Popen(
            [*prefix, *command], cwd=PROJECT, env=environment, stdin=subprocess.DEVNULL, stdout=output, stderr=output
        )
    try:
        yield process
    finally:
        process.terminate()
        try:
            process.wait(STOPS_WITHIN_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def wait_until(process: subprocess.Popen[bytes], log: Path, ready: Callable[[], bool]) -> None:
    """Return when ``ready()``; raises BenchError with the end of the log if that does not come about."""
    deadline = time.monotonic() + READY_WITHIN_S
    while not ready():
        if process.poll() is not None or time.monotonic() > deadline:
            what = "ended at its start" if process.poll() is not None else "was not ready in time"
            raise BenchError(f"a server {what}; the end of its log:\n{log.read_text('utf-8', 'replace')[-3000:]}")
        time.sleep(_POLL_S)


def free_port() -> int:
    """A port of loopback that nobody listens on at present."""
    with closing(socket.socket()) as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def accepts(port: int) -> bool:
    """Whether somebody listens there."""
    with closing(socket.socket()) as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0
