"""``chatctl`` as an operator runs it: a process of its own, with the settings of a server."""

import subprocess
import sys

from tests.kit.server import ENDS_WITH_US, Server
from tests.kit.waiting import WITHIN_S

COMMAND = (*ENDS_WITH_US, sys.executable, "-m", "chatd.ctl")


def start_chatctl(server: Server, *arguments: str) -> "subprocess.Popen[str]":
    """Start it, without a terminal; whoever does also waits for it."""
    return subprocess.Popen(
        # A program that was started in the background ignores SIGINT, and whatever it starts does.
        ["env", "--default-signal=INT", *COMMAND, f"--config={server.configuration}", *arguments],
        env=server.surroundings,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def chatctl(server: Server, *arguments: str) -> "subprocess.CompletedProcess[str]":
    """Run it to its end."""
    with start_chatctl(server, *arguments) as process:
        out, err = process.communicate(timeout=WITHIN_S)
    return subprocess.CompletedProcess(arguments, process.returncode, out, err)
