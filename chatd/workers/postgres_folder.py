"""The state folder: what is where in it, who holds it, and how the server's user gets in.

::

    <state>/
        postgres.lock       held by the chatd that uses this folder; its process id
        postgres.log        what PostgreSQL writes; postgres.log.1 is the one before
        postgres-data/      the cluster: PostgreSQL's own
        postgres-socket     where it listens: a folder, or a link to one below /tmp
        postgresql-18.4/    a copy of its programs, where the server's user cannot read the original
"""

import contextlib
import fcntl
import os
import re
import shutil
import stat
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Self

from chatd.workers.postgres_account import Account, barrier
from chatd.workers.postgres_binaries import EmbeddedPostgresError
from chatd.workers.postgres_server import PORT

ROOT_STATE_FOLDER = Path("/var/lib/chatd-dev")
LOG_LIMIT_BYTES = 10 * 1024 * 1024
LONGEST_SOCKET_PATH_BYTES = 107
"""sun_path of unix(7) has 108 bytes, the last of which is NUL."""
_SOCKET_NAME = f".s.PGSQL.{PORT}"
# In these a path stands for itself: in a libpq connection string and in the comma-separated list of PostgreSQL.
_PLAIN_PATH = re.compile(rb"[A-Za-z0-9_./+~@-]+")


def default_state_folder(euid: int | None = None, environ: Mapping[str, str] = os.environ) -> Path:
    """Where a try-out keeps its state if nobody says otherwise: XDG's place for state (XDG Base Directory 0.8).

    For root it lies outside of root's home, which the user that PostgreSQL runs as cannot enter.
    """
    if (os.geteuid() if euid is None else euid) == 0:
        return ROOT_STATE_FOLDER
    named = Path(environ.get("XDG_STATE_HOME", ""))
    if named.is_absolute():
        return named / "chatd"
    return Path.home() / ".local" / "state" / "chatd"


def data_folder(state: Path) -> Path:
    return state / "postgres-data"


def log_file(state: Path) -> Path:
    return state / "postgres.log"


def data_version(state: Path) -> int | None:
    """The major version of PostgreSQL that made the data in this state folder; None before first use."""
    try:
        return int((data_folder(state) / "PG_VERSION").read_text())
    except FileNotFoundError:
        return None


def prepare_state_folder(state: Path, account: Account | None) -> None:
    """Make the folder if it is missing; see that ``account`` can enter it, and that the data in it is that user's.

    Raises EmbeddedPostgresError, OSError. A folder that exists keeps its permissions.
    """
    _refuse_barrier(state, account)
    if not state.is_dir():
        state.mkdir(parents=True)
        state.chmod(0o700 if account is None else 0o711)
    _refuse_barrier(state, account)
    data = data_folder(state)
    owner = os.geteuid() if account is None else account.uid
    if data.exists() and data.stat().st_uid != owner:
        raise EmbeddedPostgresError(
            f"{data} belongs to the user with id {data.stat().st_uid}, but PostgreSQL would run as {owner}: "
            f"start chatd as the user who made it, or choose another state folder."
        )


def open_log(state: Path) -> int:
    """A descriptor that appends to PostgreSQL's log, which is first put aside if it has grown beyond its limit."""
    path = log_file(state)
    if path.exists() and path.stat().st_size > LOG_LIMIT_BYTES:
        path.replace(path.with_name(f"{path.name}.1"))
    return os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)


def make_socket_folder(state: Path, account: Account | None, *, temporary: Path = Path("/tmp")) -> Path:
    """A folder of mode 0700 for the server's socket, its path short and plain enough to be one's address.

    It lies in the state folder, or below ``temporary``, to which then a link leads: what a killed process has left
    is used again.
    """
    inside = state / "postgres-socket"
    if _can_be_address(inside):
        inside.mkdir(exist_ok=True)
        _make_private(inside, account)
        return inside
    if inside.is_symlink():
        former = inside.readlink()
        if former.parent == temporary and _is_private(former, account):
            return former
        inside.unlink()
    made = Path(tempfile.mkdtemp(prefix="chatd-", dir=temporary))
    _make_private(made, account)
    inside.symlink_to(made)
    return made


def remove_socket_folder(state: Path, sockets: Path) -> None:
    """Undo make_socket_folder, which gave ``sockets``. What is not PostgreSQL's is left where it is."""
    for name in (_SOCKET_NAME, f"{_SOCKET_NAME}.lock"):
        (sockets / name).unlink(missing_ok=True)
    with contextlib.suppress(OSError):  # it is gone already, or somebody keeps something in it
        sockets.rmdir()
    link = state / "postgres-socket"
    if link.is_symlink():
        link.unlink()


def make_partial_folder(state: Path, account: Account | None) -> Path:
    """An empty folder for a cluster in the making; what earlier attempts have left is removed."""
    for abandoned in state.glob("postgres-data.partial*"):
        shutil.rmtree(abandoned, ignore_errors=True)
    made = Path(tempfile.mkdtemp(prefix="postgres-data.partial-", dir=state))
    _make_private(made, account)
    return made


class FolderLock:
    """The right to use a state folder, for as long as this process lives or until ``release``.

    A lock of flock(2): the kernel lifts it with the last descriptor, so a killed holder leaves nothing behind, and
    the descriptor is closed in whatever program this process starts.
    """

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor

    @classmethod
    def acquire(cls, state: Path) -> Self:
        """Raises EmbeddedPostgresError if another process holds it."""
        path = state / "postgres.lock"
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            holder = os.read(descriptor, 32).decode("ascii", "replace").strip()
            os.close(descriptor)
            raise EmbeddedPostgresError(
                f"The state folder {state} is in use by process {holder or 'unknown'}: "
                f"stop that one first, or choose another state folder."
            ) from None
        os.truncate(descriptor, 0)
        os.pwrite(descriptor, b"%d\n" % os.getpid(), 0)
        return cls(descriptor)

    def release(self) -> None:
        os.close(self._descriptor)


def _refuse_barrier(state: Path, account: Account | None) -> None:
    obstacle = barrier(state, account)
    if obstacle is not None and account is not None:
        raise EmbeddedPostgresError(
            f"The user {account.name}, as whom PostgreSQL runs because root may not, cannot enter {obstacle}: "
            f"choose another state folder, such as {ROOT_STATE_FOLDER}, or start chatd as another user."
        )


def _can_be_address(folder: Path) -> bool:
    name = os.fsencode(folder / _SOCKET_NAME)
    return len(name) <= LONGEST_SOCKET_PATH_BYTES and _PLAIN_PATH.fullmatch(name) is not None


def _make_private(folder: Path, account: Account | None) -> None:
    folder.chmod(0o700)
    if account is not None:
        os.chown(folder, account.uid, account.gid)


def _is_private(folder: Path, account: Account | None) -> bool:
    """Whether this is a folder as _make_private left it: below /tmp, others may have taken a name that was freed."""
    try:
        status = folder.lstat()
    except FileNotFoundError:
        return False
    owner = os.geteuid() if account is None else account.uid
    return stat.S_ISDIR(status.st_mode) and status.st_uid == owner and stat.S_IMODE(status.st_mode) == 0o700
