"""A throwaway PostgreSQL for the tests: no reactor, started and stopped at will, gone with the test process."""

import itertools
import os
import shutil
import subprocess
import tempfile
import time
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path
from signal import SIGINT, SIGKILL, SIGQUIT, Signals
from types import TracebackType
from typing import Any, Self

import psycopg2

from chatd.workers.postgres_account import barrier, environment, reachable_binaries, server_account
from chatd.workers.postgres_binaries import find_binaries
from chatd.workers.postgres_folder import (
    data_folder,
    log_file,
    make_partial_folder,
    make_socket_folder,
    open_log,
    remove_socket_folder,
)
from chatd.workers.postgres_server import (
    Postmaster,
    connection_string,
    discard_stale_pid_file,
    initdb_command,
    recorded_postmaster,
    server_command,
)

WITHIN_S = 60.0
POLL_S = 0.01
NOT_DURABLE = {"fsync": "off", "full_page_writes": "off"}
"""Commits survive the server's death, even a violent one, but not the machine's."""


class Cluster:
    """One server with as many databases as the tests want. It may be used from any thread, one call at a time."""

    def __init__(self, state: Path, settings: Mapping[str, str], *, durable: bool) -> None:
        """``state`` is an empty folder that the server's user can enter; see ``start_new``."""
        self._state = state
        self._data = data_folder(state)
        self._account = server_account(os.geteuid())
        self._binaries = reachable_binaries(find_binaries(), self._account, state)
        self._durable = durable
        self._settings = {**({} if durable else NOT_DURABLE), **settings}
        self._sockets = make_socket_folder(state, self._account)
        self._names = (f"test_{number}" for number in itertools.count(1))
        # The server ends with the thread that starts it: this one lives as long as the cluster.
        self._starter = ThreadPoolExecutor(max_workers=1, thread_name_prefix="postgres")
        self._server: subprocess.Popen[bytes] | None = None

    @classmethod
    def start_new(
        cls, folder: Path | None = None, *, durable: bool = False, settings: Mapping[str, str] | None = None
    ) -> Self:
        """A running cluster below ``folder``, or in a new temporary folder if the server's user cannot enter that one.

        With ``durable`` it writes to disk what it commits; ``settings`` are PostgreSQL's, over chatd's own.
        """
        if folder is None or barrier(folder, server_account(os.geteuid())) is not None:
            folder = None
        state = Path(tempfile.mkdtemp(prefix="pg-", dir=folder))
        state.chmod(0o711)
        cluster = cls(state, settings or {}, durable=durable)
        try:
            cluster._make()
            cluster.start()
        except BaseException:
            cluster.close()
            raise
        return cluster

    @property
    def pid(self) -> int:
        """The server's process id, while it runs."""
        assert self._server is not None, "the cluster is stopped"
        return self._server.pid

    @property
    def data(self) -> Path:
        """The folder of its files, the write-ahead log among them."""
        return self._data

    @property
    def log(self) -> str:
        """All that the server has written so far."""
        return log_file(self._state).read_text("utf-8", "replace")

    def dsn(self, database: str = "postgres") -> str:
        """A libpq connection string, which stays the same over a restart."""
        return connection_string(self._sockets, database)

    def create_database(self) -> str:
        """The connection string of a new, empty database."""
        name = next(self._names)
        self._administer(f"CREATE DATABASE {name}")
        return self.dsn(name)

    def drop_database(self, dsn: str) -> None:
        """Remove a database that `create_database` made, whoever is still connected to it."""
        self._administer(f"DROP DATABASE {psycopg2.extensions.parse_dsn(dsn)['dbname']} WITH (FORCE)")

    def _administer(self, statement: str) -> None:
        """Outside of any transaction, as databases are made and removed."""
        with closing(psycopg2.connect(self.dsn())) as connection:
            connection.autocommit = True
            with connection.cursor() as cursor:
                cursor.execute(statement)

    def start(self) -> None:
        """Return once it accepts connections."""
        assert self._server is None, "the cluster is already started"
        discard_stale_pid_file(self._data)
        self._server = self._starter.submit(self._spawn).result()
        ready = Postmaster(pid=self._server.pid, ready=True)
        wait_for(lambda: self._has_ended() or recorded_postmaster(self._data) == ready)
        if self._has_ended():
            raise RuntimeError(f"PostgreSQL did not start: {self.log}")

    def stop(self) -> None:
        """Fast shutdown: sessions are ended, transactions rolled back, all is written."""
        self._end(SIGINT)

    def kill(self) -> None:
        """Immediate shutdown: as in a crash, but no process is left behind. The next start recovers from the log."""
        self._end(SIGQUIT)

    def close(self) -> None:
        """Stop it if it runs, and remove everything."""
        if self._server is not None:
            self.kill()
        self._starter.shutdown()
        remove_socket_folder(self._state, self._sockets)
        shutil.rmtree(self._state)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _make(self) -> None:
        partial = make_partial_folder(self._state, self._account)
        command = initdb_command(self._binaries, partial, self._account, durable=self._durable)
        done = subprocess.run(
            command, cwd="/", env=environment(), stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False
        )
        if done.returncode != 0:
            raise RuntimeError(f"initdb failed: {done.stdout}{done.stderr}")
        partial.rename(self._data)

    def _spawn(self) -> subprocess.Popen[bytes]:
        command = server_command(self._binaries, self._data, self._sockets, self._account, self._settings)
        log = open_log(self._state)
        try:
            return subprocess.Popen(
                command, cwd="/", env=environment(), stdin=subprocess.DEVNULL, stdout=log, stderr=log
            )
        finally:
            os.close(log)

    def _has_ended(self) -> bool:
        return self._server is None or self._server.poll() is not None

    def _end(self, how: Signals) -> None:
        assert self._server is not None, "the cluster is stopped"
        server, self._server = self._server, None
        server.send_signal(how)
        try:
            server.wait(WITHIN_S)
        except subprocess.TimeoutExpired:
            server.send_signal(SIGKILL)
            server.wait(WITHIN_S)
            raise


def execute(dsn: str, statement: str) -> list[tuple[Any, ...]]:
    """The rows of one statement, run in a connection and a transaction of its own."""
    with closing(psycopg2.connect(dsn)) as connection, connection, connection.cursor() as cursor:
        cursor.execute(statement)
        return cursor.fetchall() if cursor.description else []


def answers(dsn: str) -> bool:
    """Whether the database can be reached at this moment."""
    try:
        return execute(dsn, "SELECT 1") == [(1,)]
    except psycopg2.OperationalError:
        return False


def status_of(pid: int) -> dict[str, str]:
    """The fields of /proc/<pid>/status; none if there is no such process."""
    try:
        lines = Path("/proc", str(pid), "status").read_text().splitlines()
    except (FileNotFoundError, ProcessLookupError):
        return {}
    return {name: value.strip() for name, _, value in (line.partition(":") for line in lines)}


def has_ended(pid: int) -> bool:
    """Whether the process is gone, or waits for nothing but its parent's attention."""
    return status_of(pid).get("State", "Z").startswith("Z")


def wait_for(condition: Callable[[], bool]) -> None:
    """Return as soon as it is true; AssertionError if that takes too long."""
    deadline = time.monotonic() + WITHIN_S
    while not condition():
        assert time.monotonic() < deadline, "it did not come true in time"
        time.sleep(POLL_S)
