"""Machines in the network's eyes: namespaces with networks of their own, on links that can be cut (ip-netns(8)).

What they reach, the tests among it, is in the namespace that there is anyway. Each link is a network of four addresses
out of 198.18.0.0/15, which is for tests and routed by nobody (RFC 2544).
"""

import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from ipaddress import ip_address, ip_network
from itertools import count
from pathlib import Path

from tests.kit.server import Sections
from tests.kit.tokens import AuthService
from tests.kit.workers import WorkersServer

NETWORK = ip_network("198.18.0.0/15")
_numbers = count(1)


def why_not() -> str:
    """Why there can be no such machines here; empty if there can."""
    if os.geteuid() != 0:
        return "only root may make network namespaces"
    if not shutil.which("ip") or not shutil.which("nsenter"):
        return "needs ip (iproute2) and nsenter (util-linux)"
    name = f"chatd-{os.getpid()}-probe"
    made = subprocess.run(["ip", "netns", "add", name], capture_output=True, text=True)
    if made.returncode:
        return f"ip netns: {made.stderr.strip()}"
    _ip("netns", "del", name)
    return ""


def _ip(*words: str) -> None:
    subprocess.run(["ip", *words], check=True, capture_output=True)


@dataclass(frozen=True)
class Link:
    """A wire between us and a machine, with an address at either end."""

    name: str
    ours: str
    theirs: str

    def cut(self) -> None:
        """What is sent from now on is lost, and nobody is told."""
        _ip("link", "set", self.name, "down")

    def heal(self) -> None:
        """It is whole again."""
        _ip("link", "set", self.name, "up")


@dataclass(frozen=True)
class Machine:
    """A machine that clients reach over one link, PostgreSQL over another, and Redis over a third."""

    name: str
    clients: Link
    database: Link
    redis: Link

    @classmethod
    @contextmanager
    def running(cls) -> Iterator["Machine"]:
        """One for a block."""
        name = f"chatd-{os.getpid()}-{next(_numbers)}"
        _ip("netns", "add", name)
        try:
            _ip("-n", name, "link", "set", "lo", "up")
            yield cls(name, _link(name), _link(name), _link(name))
        finally:
            # The links go with it.
            _ip("netns", "del", name)


def _link(machine: str) -> Link:
    number = next(_numbers)
    first = int(ip_address(NETWORK.network_address)) + 4 * ((os.getpid() * 32 + number) % (NETWORK.num_addresses // 4))
    link = Link(f"chatd{os.getpid() % 100_000}n{number}", str(ip_address(first + 1)), str(ip_address(first + 2)))
    _ip("link", "add", link.name, "type", "veth", "peer", "name", "there", "netns", machine)
    _ip("-n", machine, "link", "set", "there", "name", f"eth{number}")
    _ip("addr", "add", f"{link.ours}/30", "dev", link.name)
    _ip("-n", machine, "addr", "add", f"{link.theirs}/30", "dev", f"eth{number}")
    _ip("-n", machine, "link", "set", f"eth{number}", "up")
    link.heal()
    return link


class MachineServer(WorkersServer):
    """A parent and its workers on a machine, behind what would end TLS there."""

    def __init__(
        self, machine: Machine, folder: Path, dsn: str, auth: AuthService, workers: int, settings: Sections
    ) -> None:
        self.host = machine.clients.theirs
        super().__init__(folder, dsn, auth, workers, settings)
        self.before = ("nsenter", f"--net=/run/netns/{machine.name}", "--")

    def configure(self, settings: Sections) -> None:
        top = {"host": self.host, "behind_proxy": True}
        super().configure({**settings, "": top, "metrics": {"host": self.host}})
