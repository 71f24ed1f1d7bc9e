"""PostgreSQL for a try-out: made on first use, run as a child of this process, gone with it.

What is stored stays in the state folder, as durable as on any other server. It listens on a private UNIX socket only.
In production chatd is given a connection string instead.
"""

import os
from pathlib import Path

from twisted.internet.defer import Deferred, DeferredLock
from twisted.internet.posixbase import PosixReactorBase
from twisted.internet.threads import deferToThreadPool
from twisted.logger import Logger

from chatd.records.condition import FINE, Dependency
from chatd.workers.postgres_account import Account, reachable_binaries, server_account
from chatd.workers.postgres_binaries import Binaries, EmbeddedPostgresError, find_binaries
from chatd.workers.postgres_folder import (
    FolderLock,
    data_folder,
    data_version,
    make_partial_folder,
    make_socket_folder,
    prepare_state_folder,
    remove_socket_folder,
)
from chatd.workers.postgres_program import Program, spawn, telling_line
from chatd.workers.postgres_server import (
    CREATE_DATABASE,
    connection_string,
    create_database_command,
    initdb_command,
    server_command,
)
from chatd.workers.postgres_supervision import SupervisedServer

log = Logger()


class EmbeddedPostgres:
    """One PostgreSQL server below ``state``, kept running between ``start`` and ``stop``.

    ``start`` must be called in the reactor's thread and in the process that stays: after twistd has become a daemon.
    If ``binaries`` is None, those that fit the data are looked for then.
    """

    def __init__(self, state: Path, binaries: Binaries | None, reactor: PosixReactorBase) -> None:
        self._state = state.resolve()
        self._data = data_folder(self._state)
        self._binaries = binaries
        self._reactor = reactor
        self._turn = DeferredLock()
        self._wanted = False
        self._lock: FolderLock | None = None
        self._sockets: Path | None = None
        self._server = SupervisedServer(self._state, reactor)

    @property
    def condition(self) -> Dependency:
        """Whether the server runs."""
        if self._server.running:
            return FINE
        return Dependency(state="unavailable", detail="the PostgreSQL that chatd runs itself does not run now")

    def start(self) -> Deferred[str]:
        """Fires with the connection string (libpq's) once the server accepts connections.

        Fails with EmbeddedPostgresError; then nothing is left running and ``start`` may be tried again. Later on, a
        server that ends by itself is started again, with growing pauses, at the same address.
        """
        return self._turn.run(self._start)

    def stop(self) -> Deferred[None]:
        """Fires once the server has ended, its socket is gone and the state folder is free for another process.

        A start under way is given up first, and fails. Without a start it does nothing.
        """
        self._wanted = False
        self._server.give_up()
        return self._turn.run(self._stop)

    async def _start(self) -> str:
        if self._lock is not None:
            raise EmbeddedPostgresError(f"The database in {self._state} is already started: stop it first.")
        self._wanted = True
        running = False
        try:
            address = await self._bring_up()
            running = True
        except OSError as error:
            raise EmbeddedPostgresError(
                f"Cannot use the state folder {self._state}: {error.strerror} ({error.filename}); "
                f"mend that, or choose another state folder."
            ) from error
        finally:
            if not running:
                await self._stop()
        return address

    async def _stop(self) -> None:
        await self._server.end()
        if self._sockets is not None:
            remove_socket_folder(self._state, self._sockets)
            self._sockets = None
        if self._lock is not None:
            self._lock.release()
            self._lock = None

    async def _bring_up(self) -> str:
        account = server_account(os.geteuid())
        prepare_state_folder(self._state, account)
        self._lock = FolderLock.acquire(self._state)
        chosen = self._binaries or find_binaries(data_version(self._state))
        pool = self._reactor.getThreadPool()
        binaries = await deferToThreadPool(self._reactor, pool, reachable_binaries, chosen, account, self._state)
        if not self._data.exists():
            await self._initialise(binaries, account)
        self._check_version(binaries)
        self._check_wanted()
        self._sockets = make_socket_folder(self._state, account)
        await self._server.begin(server_command(binaries, self._data, self._sockets, account))
        return connection_string(self._sockets)

    async def _initialise(self, binaries: Binaries, account: Account | None) -> None:
        """Make the cluster under another name first, so that there is a whole one or none."""
        log.info("making a database of PostgreSQL {version} in {data}", version=binaries.version, data=str(self._data))
        partial = make_partial_folder(self._state, account)
        await self._run(initdb_command(binaries, partial, account))
        await self._run(create_database_command(binaries, partial, account), CREATE_DATABASE)
        partial.rename(self._data)

    async def _run(self, command: list[str], stdin: bytes = b"") -> None:
        self._check_wanted()
        program = Program(stdin)
        spawn(program, command, self._reactor)
        ending = await program.ended
        if not ending.success:
            raise EmbeddedPostgresError(
                f"PostgreSQL could not make {self._data} ({ending.how}): {telling_line(program.output)}; "
                f"mend that, or choose another state folder."
            )

    def _check_version(self, binaries: Binaries) -> None:
        made_by = data_version(self._state)
        if made_by != binaries.major:
            raise EmbeddedPostgresError(
                f"{self._data} was made by PostgreSQL {made_by}, but {binaries.folder} holds {binaries.version}: "
                f"choose programs of that version, or another state folder."
            )

    def _check_wanted(self) -> None:
        if not self._wanted:
            raise EmbeddedPostgresError("PostgreSQL was stopped before it was ready: start it again if it is needed.")
