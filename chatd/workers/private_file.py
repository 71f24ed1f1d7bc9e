"""Files that nobody else may read: never half written, and at no moment open to others."""

import os
import tempfile
from collections.abc import Callable
from pathlib import Path


class NotPrivate(OSError):
    """A file that others can read or have written, so that its content proves nothing; says which and what to do."""


def keep(path: Path, make: Callable[[], str]) -> str:
    """What the file holds; if it is not there, it is made with what ``make`` returns, and lasts through a power loss.

    Of several processes that make it at once one wins, and all return what that one wrote. Raises OSError.
    """
    try:
        return read(path)
    except FileNotFoundError:
        _write(path, make(), os.link)
        return read(path)


def replace(path: Path, text: str) -> None:
    """Put ``text`` into the file in place of whatever it holds: readers see the one or the other. Raises OSError."""
    _write(path, text, os.replace)


def read(path: Path) -> str:
    """Raises NotPrivate, other OSError, and UnicodeDecodeError."""
    descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
    with open(descriptor, encoding="utf-8") as file:
        status = os.fstat(descriptor)
        if status.st_uid != os.geteuid() or status.st_mode & 0o077:
            raise NotPrivate(None, f"must be yours and closed to others (chmod 600 {path})", str(path))
        return file.read()


def _write(path: Path, text: str, settle: Callable[[str, Path], None]) -> None:
    # mkstemp opens with O_EXCL and mode 0600, so there is no moment at which others could open it.
    descriptor, draft = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
    try:
        with open(descriptor, "w", encoding="utf-8") as file:
            file.write(text)
            file.flush()
            os.fsync(descriptor)
        try:
            settle(draft, path)
        except FileExistsError:
            return
        _sync_folder(path.parent)
    finally:
        Path(draft).unlink(missing_ok=True)


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
