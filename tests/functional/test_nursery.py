"""A server from the nursery is like one that was started as a program."""

import os
import signal
import subprocess
import sys
from pathlib import Path

from tests.kit.server import ROOT, Server
from tests.kit.tokens import AuthService
from tests.kit.waiting import wait_for
from tests.kit.workers import gone

STARTS_ONE_AND_WAITS = """
import sys
from pathlib import Path
from tests.kit.server import Server
from tests.kit.tokens import AuthService
server = Server(Path(sys.argv[1]), "host=/nowhere", AuthService())
server.start(ready=False)
print(server.pid, flush=True)
sys.stdin.read()
"""


def test_it_has_the_folder_and_environment_that_were_said_and_no_files_but_its_own(server: Server) -> None:
    assert os.readlink(f"/proc/{server.pid}/cwd") == str(server.configuration.parent)
    assert os.readlink(f"/proc/{server.pid}/fd/0") == os.devnull
    own = {os.readlink(f"/proc/{server.pid}/fd/{number}") for number in (1, 2)}
    assert own == {str(server.log_file)}
    assert os.getpgid(server.pid) == os.getpgid(0)


def test_how_it_ended_is_told(tmp_path: Path, auth: AuthService) -> None:
    server = Server(tmp_path, "host=/nowhere", auth)
    try:
        server.start(ready=False)
        assert server.stop() == -signal.SIGTERM
        server.start(ready=False)
        os.kill(server.pid, signal.SIGKILL)
        wait_for(lambda: not server.running)
    finally:
        server.close()


def test_it_ends_with_whoever_runs_the_tests(tmp_path: Path) -> None:
    command = [sys.executable, "-c", STARTS_ONE_AND_WAITS, str(tmp_path)]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")])}
    with subprocess.Popen(
        command, cwd=ROOT, env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as runner:
        assert runner.stdout is not None
        pid = int(runner.stdout.readline())
        assert not gone(pid)
        runner.kill()
    wait_for(lambda: gone(pid))
