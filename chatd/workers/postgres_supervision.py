"""Keeping a PostgreSQL server up for as long as it is wanted."""

import contextlib
import os
import signal
from pathlib import Path

from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.error import ProcessExitedAlready
from twisted.internet.posixbase import PosixReactorBase
from twisted.internet.task import deferLater
from twisted.logger import Logger

from chatd.workers.postgres_binaries import EmbeddedPostgresError
from chatd.workers.postgres_folder import data_folder, log_file, open_log
from chatd.workers.postgres_program import Program, spawn, telling_line
from chatd.workers.postgres_server import Postmaster, discard_stale_pid_file, leftover_postmaster, recorded_postmaster

log = Logger()

POLL_S = 0.05
READY_WITHIN_S = 120.0
"""Replaying the write-ahead log after a crash takes a while; max_wal_size bounds it."""
LEFTOVER_GRACE_S = 5.0
LEFTOVER_GONE_WITHIN_S = 60.0
STOP_STEPS = ((signal.SIGINT, 60.0), (signal.SIGQUIT, 10.0), (signal.SIGKILL, 10.0))
"""Fast shutdown, immediate shutdown, the end; each with the seconds that it is given."""
SIGNAL_AGAIN_S = 1.0
LONGEST_DELAY_S = 30.0
STEADY_AFTER_S = 60.0


def restart_delay(failures: int) -> float:
    """Seconds before the next attempt, after that many in a row (1 or more) that did not last."""
    return float(min(0.5 * 2 ** min(failures - 1, 16), LONGEST_DELAY_S))


class SupervisedServer:
    """The server of one state folder, whose lock the caller holds from before ``begin`` until ``end`` is done."""

    def __init__(self, state: Path, reactor: PosixReactorBase) -> None:
        self._state = state
        self._data = data_folder(state)
        self._reactor = reactor
        self._command: list[str] = []
        self._wanted = False
        self._server: Program | None = None
        self._supervision: Deferred[None] | None = None
        self._pause: Deferred[None] | None = None

    @property
    def running(self) -> bool:
        """Whether the process is there."""
        return self._server is not None and self._server.ending is None

    async def begin(self, command: list[str]) -> None:
        """Return once the server accepts connections; from then on it is started again whenever it ends.

        Raises EmbeddedPostgresError or OSError; then it is not running.
        """
        self._command = command
        self._wanted = True
        server = await self._launch()
        self._supervision = Deferred.fromCoroutine(self._supervise(server))
        self._supervision.addErrback(lambda failure: log.failure("supervision of PostgreSQL failed", failure=failure))

    def give_up(self) -> None:
        """Want it no more: a ``begin`` under way fails soon, and there will be no restart."""
        self._wanted = False
        if self._pause is not None:
            self._pause.cancel()

    async def end(self) -> None:
        """Return once the server has ended. Without a ``begin`` it does nothing."""
        self.give_up()
        if self._server is not None:
            await self._shut_down(self._server)
            self._server = None
        if self._supervision is not None:
            await self._supervision
            self._supervision = None

    async def _supervise(self, server: Program) -> None:
        failures = 0
        while True:
            began = self._reactor.seconds()
            ending = await server.ended
            if not self._wanted:
                return
            log.error("PostgreSQL ended by itself ({how}); see {log}", how=ending.how, log=str(log_file(self._state)))
            lasted = self._reactor.seconds() - began
            failures = 1 if lasted >= STEADY_AFTER_S else failures + 1
            restarted = await self._restart(failures)
            if restarted is None:
                return
            server = restarted

    async def _restart(self, failures: int) -> Program | None:
        """The server, running again; None if it is no more wanted."""
        while self._wanted:
            await self._rest(restart_delay(failures))
            try:
                server = await self._launch()
            except (EmbeddedPostgresError, OSError) as error:
                if not self._wanted:
                    break
                failures += 1
                log.error("PostgreSQL could not be started again: {error}", error=str(error))
            else:
                log.info("PostgreSQL runs again as process {pid}", pid=server.process.pid)
                return server
        return None

    async def _launch(self) -> Program:
        self._check_wanted()
        await self._outlast_leftover()
        discard_stale_pid_file(self._data)
        server, log_begin = self._spawn()
        self._server = server
        try:
            await self._wait_until_ready(server, log_begin)
        except EmbeddedPostgresError:
            await self._shut_down(server)
            raise
        return server

    async def _outlast_leftover(self) -> None:
        """Wait for the server of a chatd that was killed, which is shutting down; ask one to that is not."""
        begin = self._reactor.seconds()
        asked = False
        while (pid := leftover_postmaster(self._data)) is not None:
            waited = self._reactor.seconds() - begin
            if waited > LEFTOVER_GRACE_S and not asked:
                log.warn("asking a PostgreSQL of an earlier run to end: process {pid}", pid=pid)
                asked = True
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGINT)
            if waited > LEFTOVER_GONE_WITHIN_S:
                raise EmbeddedPostgresError(
                    f"A PostgreSQL of an earlier run, process {pid}, still has {self._data} open and does not end: "
                    f"end it with 'kill -QUIT {pid}', then start again."
                )
            await self._poll()
            self._check_wanted()

    def _spawn(self) -> tuple[Program, int]:
        """The server process, and where in the log its words begin."""
        server = Program()
        out = open_log(self._state)
        nothing = os.open(os.devnull, os.O_RDONLY)
        try:
            begin = os.fstat(out).st_size
            files = {0: nothing, 1: out, 2: out}
            spawn(server, self._command, self._reactor, files)
        finally:
            os.close(nothing)
            os.close(out)
        return server, begin

    async def _wait_until_ready(self, server: Program, log_begin: int) -> None:
        deadline = self._reactor.seconds() + READY_WITHIN_S
        ready = Postmaster(pid=server.process.pid, ready=True)
        while recorded_postmaster(self._data) != ready:
            self._check_wanted()
            if server.ending is not None:
                with log_file(self._state).open(encoding="utf-8", errors="replace") as written:
                    written.seek(log_begin)
                    cause = telling_line(written.read())
                raise EmbeddedPostgresError(
                    f"PostgreSQL did not start ({server.ending.how}): {cause}; look into {log_file(self._state)}."
                )
            if self._reactor.seconds() > deadline:
                raise EmbeddedPostgresError(
                    f"PostgreSQL was not ready after {READY_WITHIN_S:.0f} s: look into {log_file(self._state)}."
                )
            await self._poll()

    async def _shut_down(self, server: Program) -> None:
        """Return once it has ended. The signal is repeated: one that comes before the program has begun is lost."""
        for number, patience in STOP_STEPS:
            give_up_at = self._reactor.seconds() + patience
            while self._reactor.seconds() < give_up_at:
                with contextlib.suppress(ProcessExitedAlready):
                    server.process.signalProcess(number)
                if await self._ends_within(server, SIGNAL_AGAIN_S):
                    return
            log.warn("PostgreSQL did not end within {patience} s of {signal}", patience=patience, signal=number.name)

    async def _ends_within(self, server: Program, seconds: float) -> bool:
        deadline = self._reactor.seconds() + seconds
        while server.ending is None and self._reactor.seconds() < deadline:
            await self._poll()
        return server.ending is not None

    def _check_wanted(self) -> None:
        if not self._wanted:
            raise EmbeddedPostgresError("PostgreSQL was stopped before it was ready: start it again if it is needed.")

    async def _poll(self) -> None:
        await deferLater(self._reactor, POLL_S)

    async def _rest(self, seconds: float) -> None:
        self._pause = deferLater(self._reactor, seconds)
        with contextlib.suppress(CancelledError):
            await self._pause
        self._pause = None
