"""As whom PostgreSQL runs, and what that user may reach.

PostgreSQL refuses to run as root. So when chatd does, the server runs as a system user without privileges, and all
that this user must read (the way to the state folder, the programs) has to be open to it.
"""

import os
import pwd
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from chatd.workers.postgres_binaries import THREE_WAYS, Binaries, EmbeddedPostgresError

CANDIDATES = ("postgres", "nobody")
ENTER = 0o1
READ_AND_RUN = 0o5
_SYSTEM_PATH = "/usr/local/bin:/usr/bin:/bin"
_INSTALL_PARTS = ("bin", "lib", "share")


@dataclass(frozen=True, slots=True)
class Account:
    """A system user without privileges."""

    name: str
    uid: int
    gid: int


def server_account(euid: int, lookup: Callable[[str], pwd.struct_passwd] = pwd.getpwnam) -> Account | None:
    """Whom the server runs as if that is not the user ``euid`` itself; None if it is.

    Raises EmbeddedPostgresError where chatd is root and there is nobody else.
    """
    if euid != 0:
        return None
    for name in CANDIDATES:
        try:
            entry = lookup(name)
        except KeyError:
            continue
        return Account(name=name, uid=entry.pw_uid, gid=entry.pw_gid)
    raise EmbeddedPostgresError(
        "PostgreSQL does not run as root, and there is neither a user postgres nor nobody: start chatd as another user."
    )


def launcher(account: Account | None) -> list[str]:
    """What goes before a program's command line so that it runs as ``account`` and ends with its parent.

    The parent's death reaches it as SIGINT, PostgreSQL's fast shutdown; "parent" is the thread that starts it, which
    must live as long as it shall (prctl(2), PR_SET_PDEATHSIG). A session of its own keeps a terminal's Ctrl-C away:
    chatd ends first, then its database. Both programs replace themselves, so that the process id stays.
    """
    command = [_system_program("setsid"), _system_program("setpriv"), "--pdeathsig", "INT", "--no-new-privs"]
    if account is not None:
        command += [f"--reuid={account.uid}", f"--regid={account.gid}", "--clear-groups"]
    return [*command, "--"]


def environment() -> dict[str, str]:
    """The environment of PostgreSQL's programs: ours may hold PGPORT, PGDATA or a locale, which they would obey."""
    kept = {name: os.environ[name] for name in ("LD_LIBRARY_PATH",) if name in os.environ}
    return {"PATH": _SYSTEM_PATH, "LC_ALL": "C", **kept}


def barrier(path: Path, account: Account | None, wanted: int = ENTER) -> Path | None:
    """What keeps ``account`` from ``path``: the first folder on the way it cannot enter, else ``path`` itself if that
    does not allow ``wanted``. None if nothing does, as far as the path exists. Looks at permission bits only.
    """
    if account is None:
        return None
    for way in (path.absolute(), path.resolve()):  # a link counts where it stands and where it leads
        for step in (*reversed(way.parents), way):
            try:
                status = step.stat()
            except FileNotFoundError:
                break
            if not _allows(status, account, wanted if step == way else ENTER):
                return step
    return None


def reachable_binaries(binaries: Binaries, account: Account | None, state: Path) -> Binaries:
    """``binaries``, or a copy of them below ``state`` if ``account`` cannot run them where they are.

    Blocks for as long as copying some 35 MB takes, the first time. Raises EmbeddedPostgresError if they are of a kind
    that does not work elsewhere.
    """
    obstacle = barrier(binaries.postgres, account, READ_AND_RUN) or barrier(binaries.initdb, account, READ_AND_RUN)
    if account is None or obstacle is None:
        return binaries
    source = binaries.folder.parent
    if not all((source / part).is_dir() for part in _INSTALL_PARTS):
        raise EmbeddedPostgresError(
            f"The user {account.name}, as whom PostgreSQL runs, may not use {obstacle}: open it to that user, "
            f"or {THREE_WAYS}."
        )
    target = state / f"postgresql-{binaries.version}"
    if not target.exists():
        _copy_install(source, target)
    folder = target / source.parent.name / source.name / "bin"
    return Binaries(folder=folder, version=binaries.version, major=binaries.major)


def _copy_install(source: Path, target: Path) -> None:
    """Copy an installation to where everybody may read it; ``target`` is there whole or not at all.

    A wheel's programs look for their libraries beside the package (auditwheel's ``<package>.libs``), so two folder
    names above ``bin`` stay as they are.
    """
    package = source.parent
    partial = target.with_name(f"{target.name}.partial")
    shutil.rmtree(partial, ignore_errors=True)
    for part in _INSTALL_PARTS:
        without = shutil.ignore_patterns("*.a", "pkgconfig")
        shutil.copytree(source / part, partial / package.name / source.name / part, ignore=without)
    libraries = package.with_name(f"{package.name}.libs")
    if libraries.is_dir():
        shutil.copytree(libraries, partial / libraries.name)
    for folder, _, files in os.walk(partial):
        os.chmod(folder, 0o755)
        for name in files:
            file = Path(folder, name)
            file.chmod(0o755 if file.stat().st_mode & 0o100 else 0o644)
    os.sync()  # or a power loss could leave the name, and files without their contents
    partial.rename(target)


def _allows(status: os.stat_result, account: Account, wanted: int) -> bool:
    if status.st_uid == account.uid:
        granted = status.st_mode >> 6
    elif status.st_gid == account.gid:
        granted = status.st_mode >> 3
    else:
        granted = status.st_mode
    return granted & wanted == wanted


def _system_program(name: str) -> str:
    found = shutil.which(name) or shutil.which(name, path=_SYSTEM_PATH)
    if found is None:
        raise EmbeddedPostgresError(f"The program {name} is missing: install the package util-linux.")
    return found
