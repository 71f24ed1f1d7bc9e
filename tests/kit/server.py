"""The real server: ``twistd chatd`` as a process of its own, on a database that it is given."""

import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import cache
from http.client import HTTPConnection
from pathlib import Path
from signal import SIGHUP, SIGKILL, SIGTERM
from typing import Self

from chatd.security.keyring import MasterKeys
from chatd.settings.rates import Rates
from tests.kit.nursery import PROGRAM, Born, Nursery
from tests.kit.ports import reserve_port
from tests.kit.settings import private
from tests.kit.tokens import AUDIENCE, ISSUER, AuthService
from tests.kit.waiting import WITHIN_S, wait_for

ROOT = Path(__file__).parent.parent.parent
FOREGROUND = ("--nodaemon", "--pidfile=")
TWISTD = (sys.executable, "-m", PROGRAM)
ENDS_WITH_US = ("setpriv", "--pdeathsig", "KILL", "--")

Sections = Mapping[str, Mapping[str, object]]


class Server:
    """One chatd. It listens on a port that the system chose and that stays its own until `close`, restarts included.

    ``folder`` takes its configuration, keys and log. ``settings`` by section, those of no section under "", go over
    the defaults. The process ends with the one that runs the tests, whichever way that one ends. ``before`` are words
    that its command is run by.
    """

    host = "127.0.0.1"

    def __init__(self, folder: Path, dsn: str, auth: AuthService, settings: Sections | None = None) -> None:
        self._folder = folder
        self._process: subprocess.Popen[bytes] | Born | None = None
        self._port = reserve_port()
        self.port: int = self._port.getsockname()[1]
        self.log_file = folder / "chatd.log"
        self.log_file.touch()
        self._essential: Sections = {
            "tokens": {
                "jwks_file": str(private(folder / "jwks.json", auth.jwks.decode())),
                "issuer": ISSUER,
                "audience": AUDIENCE,
            },
            "database": {"dsn": dsn},
            # Tests do in a second, from one address, what people do in a day; those of the limits set their own.
            "rates": dict.fromkeys(Rates.__struct_fields__, "100000/s burst 100000"),
            "encryption": {
                "master_keys_file": str(private(folder / "master-keys", MasterKeys.generate_line("2025-11")))
            },
        }
        self.environment: dict[str, str] = {}
        self.before: tuple[str, ...] = ()
        self.pass_fds: tuple[int, ...] = ()
        self.configure(settings or {})

    def configure(self, settings: Sections) -> None:
        """Write its file of settings anew, which a running server does not look at by itself."""
        names = (*settings, *self._essential)
        sections = {name: {**self._essential.get(name, {}), **settings.get(name, {})} for name in names}
        self._configuration = private(self._folder / "chatd.toml", _toml(sections))
        self._master_keys = Path(str(sections["encryption"]["master_keys_file"]))

    @property
    def configuration(self) -> Path:
        """Its file of settings."""
        return self._configuration

    @property
    def master_keys(self) -> Path:
        """Its file of master keys."""
        return self._master_keys

    @property
    def surroundings(self) -> dict[str, str]:
        """The environment that it is started in."""
        return _environment() | self.environment

    @property
    def pid(self) -> int:
        """The process id, while it runs."""
        assert self._process is not None, "the server is stopped"
        return self._process.pid

    @property
    def running(self) -> bool:
        """Whether the process is there."""
        return self._process is not None and self._process.poll() is None

    @property
    def http_url(self) -> str:
        return f"http://{self.host}:{self.port}"

    @property
    def address(self) -> str:
        """Where it says that it serves."""
        return self.http_url

    @property
    def url(self) -> str:
        """Where WebSockets go."""
        return f"ws://{self.host}:{self.port}/v1/ws"

    @property
    def log(self) -> str:
        """All that it has written so far, over all of its starts."""
        return self.log_file.read_text("utf-8", "surrogateescape")

    @property
    def peak_memory(self) -> int:
        """The most bytes that the process has had in memory at once (proc(5), VmHWM)."""
        return self._status("VmHWM")

    @property
    def memory(self) -> int:
        """Bytes that the process has in memory now."""
        return self._status("VmRSS")

    def _status(self, name: str) -> int:
        text = Path(f"/proc/{self.pid}/status").read_text()
        found = re.search(rf"^{name}:\s+(\d+) kB$", text, re.MULTILINE)
        assert found is not None
        return int(found[1]) * 1024

    def start(self, *, ready: bool = True) -> Self:
        """Return once it listens and, with ``ready``, can carry out commands."""
        assert self._process is None, "the server is already started"
        seen = len(self.log)
        with self.log_file.open("ab") as log:
            self._process = self._begin(log.fileno())
        wait_for(lambda: self._serves(seen))
        if ready:
            wait_for(self.ready)
        return self

    def _begin(self, log: int) -> "subprocess.Popen[bytes] | Born":
        if not (self.before or self.environment or self.pass_fds):
            return _nursery().bear(self._arguments(), self._folder, self.surroundings, log)
        # What a process gets at its very beginning, a fork cannot be given.
        return subprocess.Popen(
            [*ENDS_WITH_US, *self.before, *self._command()],
            cwd=self._folder,
            env=self.surroundings,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            pass_fds=self.pass_fds,
        )

    def _command(self) -> list[str]:
        return [*TWISTD, *self._arguments()]

    def _arguments(self) -> list[str]:
        return [*FOREGROUND, "chatd", f"--config={self._configuration}", f"--port={self.port}"]

    def _serves(self, seen: int) -> bool:
        assert self.running, self.log[seen:]
        return re.search(rf'serving at {re.escape(self.address)}["\n]', self.log[seen:]) is not None

    def ready(self) -> bool:
        """Whether it says that it can carry out commands."""
        connection = HTTPConnection(self.host, self.port, timeout=WITHIN_S)
        try:
            connection.request("GET", "/readyz")
            return connection.getresponse().status == 200
        finally:
            connection.close()

    def reload(self) -> None:
        """Tell it to read its settings again."""
        assert self._process is not None, "the server is stopped"
        self._process.send_signal(SIGHUP)

    def kill(self) -> None:
        """End it as a power switch would."""
        self._end(SIGKILL)

    def stop(self) -> int:
        """Ask it to end, and wait until it has; its exit code."""
        return self._end(SIGTERM)

    def _end(self, how: int) -> int:
        assert self._process is not None, "the server is stopped"
        process, self._process = self._process, None
        process.send_signal(how)
        try:
            return process.wait(WITHIN_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
            raise

    def close(self) -> None:
        """Leave no process behind."""
        if self._process is not None:
            self._end(SIGTERM if self.running else SIGKILL)
        self._port.close()

    @contextmanager
    def bounded_memory(self, *, growth: int) -> Iterator[None]:
        """Fail the test if, at any moment of what happens meanwhile, the process has taken so many bytes more."""
        before = self.memory
        # This resets the peak to what there is now (proc(5), clear_refs).
        Path(f"/proc/{self.pid}/clear_refs").write_text("5")
        yield
        grown = self.peak_memory - before
        assert grown <= growth, f"the server grew by {grown} bytes"


@cache
def _nursery() -> Nursery:
    """One for all servers of this run."""
    return Nursery(_environment())


def _environment() -> dict[str, str]:
    """Nothing of the settings of whoever runs the tests."""
    path = os.pathsep.join([str(ROOT), *filter(None, [os.environ.get("PYTHONPATH")])])
    return {"PATH": os.environ["PATH"], "PYTHONPATH": path, "PYTHONUNBUFFERED": "1"}


def _toml(sections: Sections) -> str:
    """JSON's texts, numbers, booleans and lists are TOML's too."""
    return "\n".join(
        line
        for section in sorted(sections)
        for line in (
            f"[{section}]" if section else "",
            *(f"{name} = {json.dumps(value)}" for name, value in sections[section].items()),
        )
    )
