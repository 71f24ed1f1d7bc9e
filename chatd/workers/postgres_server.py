"""PostgreSQL's command lines and its pid file, without running anything."""

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from chatd.workers.postgres_account import Account, launcher
from chatd.workers.postgres_binaries import Binaries

USER = "chatd"
DATABASE = "chatd"
PORT = 5432
"""A part of the socket's name. It is always given: PGPORT in a client's environment would be taken otherwise."""
CREATE_DATABASE = f"CREATE DATABASE {DATABASE}\n".encode("ascii")
"""For the standard input of ``create_database_command``."""

SETTINGS: Mapping[str, str] = {
    # Nobody gets in but through the private socket.
    "listen_addresses": "",
    "port": str(PORT),
    "unix_socket_permissions": "0700",
    "max_connections": "100",
    "shared_buffers": "128MB",
    # An acknowledgement means committed, on a try-out too.
    "fsync": "on",
    "full_page_writes": "on",
    "synchronous_commit": "on",
    # 10,000 rows a second write some 7 MB of WAL a second: a checkpoint every two or three minutes under such a load
    # instead of every ten seconds, each spread over its whole interval.
    "max_wal_size": "2GB",
    "checkpoint_timeout": "15min",
    "checkpoint_completion_target": "0.9",
    "wal_buffers": "16MB",
    # Statements here take less than it takes to compile them.
    "jit": "off",
    # The log is a plain file of ours, and statements hold what people wrote.
    "logging_collector": "off",
    "log_destination": "stderr",
    "log_min_error_statement": "panic",
    "log_line_prefix": "%m [%p] ",
}


@dataclass(frozen=True, slots=True)
class Postmaster:
    """What a server's pid file says. A server is ``ready`` when it accepts connections."""

    pid: int
    ready: bool


def initdb_command(binaries: Binaries, data: Path, account: Account | None, *, durable: bool = True) -> list[str]:
    """Makes a cluster that only the private socket protects: whoever gets there is trusted."""
    options = ["--auth=trust", "--encoding=UTF8", "--locale=C", "--data-checksums", "--no-instructions"]
    if not durable:
        options.append("--no-sync")
    return [*launcher(account), str(binaries.initdb), f"--username={USER}", *options, f"--pgdata={data}"]


def create_database_command(binaries: Binaries, data: Path, account: Account | None) -> list[str]:
    """Runs SQL from standard input on a cluster that no server has open, and fails if a statement does."""
    options = ["-D", str(data), "-c", "exit_on_error=on", "postgres"]
    return [*launcher(account), str(binaries.postgres), "--single", *options]


def server_command(
    binaries: Binaries,
    data: Path,
    socket_folder: Path,
    account: Account | None,
    changed: Mapping[str, str] | None = None,
) -> list[str]:
    """The server itself; ``changed`` are settings that differ from SETTINGS."""
    settings = {**SETTINGS, "unix_socket_directories": str(socket_folder), **(changed or {})}
    options = [part for name, value in settings.items() for part in ("-c", f"{name}={value}")]
    return [*launcher(account), str(binaries.postgres), "-D", str(data), *options]


def connection_string(socket_folder: Path, database: str = DATABASE) -> str:
    """A libpq connection string."""
    return f"host={socket_folder} port={PORT} dbname={database} user={USER}"


def pid_file(data: Path) -> Path:
    return data / "postmaster.pid"


def recorded_postmaster(data: Path) -> Postmaster | None:
    """Which server the pid file names; None if there is no such file or it names none.

    Its first line is the process id, negative for a server in single-user mode, its eighth the status
    (PostgreSQL's miscadmin.h, LOCK_FILE_LINE_*).
    """
    try:
        lines = pid_file(data).read_text("utf-8", "replace").splitlines()
    except FileNotFoundError:
        return None
    try:
        pid = abs(int(lines[0]))
    except (IndexError, ValueError):
        return None
    return Postmaster(pid=pid, ready=len(lines) >= 8 and lines[7].strip() == "ready")


def leftover_postmaster(data: Path) -> int | None:
    """The process id of a living server on this data folder; None where the pid file names a stranger or nobody."""
    recorded = recorded_postmaster(data)
    if recorded is not None and _serves(recorded.pid, data):
        return recorded.pid
    return None


def discard_stale_pid_file(data: Path) -> None:
    """Remove a pid file that would keep PostgreSQL from starting: one that names a living stranger, or nobody.

    Only for the holder of the state folder's lock, when there is no leftover_postmaster. A file that names a dead
    process is left to PostgreSQL, which looks closer. Backends that have outlived their server are no danger: the
    shared memory is tied to the data folder itself, and PostgreSQL refuses to start while somebody is attached to it.
    """
    recorded = recorded_postmaster(data)
    if recorded is None or Path("/proc", str(recorded.pid)).exists():
        pid_file(data).unlink(missing_ok=True)


def _serves(pid: int, data: Path) -> bool:
    """Whether this process is a server on this folder: that is then its working directory."""
    process = Path("/proc", str(pid))
    try:
        return os.path.samestat((process / "cwd").stat(), data.stat())
    except PermissionError:
        pass  # another user's process, and we are without CAP_SYS_PTRACE, as root is in many a container
    except (FileNotFoundError, ProcessLookupError):
        return False  # ended, or a zombie
    try:
        arguments = (process / "cmdline").read_bytes().split(b"\0")
    except (FileNotFoundError, ProcessLookupError):
        return False
    return os.fsencode(data) in arguments
