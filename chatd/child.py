"""``python -m chatd.child``: a worker process. Only the parent starts it, with a channel and sockets to inherit."""

import sys
from typing import Any, cast

from twisted.internet import reactor
from twisted.internet.base import ReactorBase

from chatd.service import build_child
from chatd.workers.child import Child
from chatd.workers.clock import install_monotonic
from chatd.workers.spawning import CONTROL


def main(reactor: Any) -> int:
    """Serve until the parent or a signal says to end; the exit code."""
    install_monotonic(cast(ReactorBase, reactor))
    child = Child(reactor, lambda begin, broken: build_child(begin, reactor, broken))
    child.run(CONTROL)
    return child.exit_code


if __name__ == "__main__":
    sys.exit(main(reactor))
