"""The state folder: who may enter it, who holds it, where the socket lies."""

import os
import pwd
import shutil
import stat
import tempfile
from pathlib import Path

import pytest

from chatd.workers.postgres_account import Account, barrier, environment, launcher, reachable_binaries, server_account
from chatd.workers.postgres_binaries import Binaries, EmbeddedPostgresError
from chatd.workers.postgres_folder import (
    LOG_LIMIT_BYTES,
    ROOT_STATE_FOLDER,
    FolderLock,
    data_folder,
    default_state_folder,
    make_socket_folder,
    open_log,
    prepare_state_folder,
    remove_socket_folder,
)

STRANGER = Account(name="stranger", uid=os.getuid() + 12345, gid=os.getgid() + 12345)


@pytest.fixture
def open_folder():
    """A folder that everybody can enter, which pytest's own are not."""
    folder = Path(tempfile.mkdtemp(prefix="chatd-test-"))
    folder.chmod(0o755)
    yield folder
    shutil.rmtree(folder)


def mode(path: Path) -> int:
    return stat.S_IMODE(path.lstat().st_mode)


def known(*names: str):
    """A user database with these names in it."""

    def lookup(name: str) -> pwd.struct_passwd:
        if name not in names:
            raise KeyError(name)
        return pwd.struct_passwd((name, "x", 70, 71, "", "/", "/bin/false"))

    return lookup


def test_an_ordinary_user_runs_the_server_itself():
    assert server_account(1000) is None


@pytest.mark.parametrize(("names", "chosen"), [(("nobody", "postgres"), "postgres"), (("nobody",), "nobody")])
def test_root_runs_the_server_as_somebody_without_privileges(names, chosen):
    account = server_account(0, known(*names))
    assert account == Account(name=chosen, uid=70, gid=71)
    assert {"--reuid=70", "--regid=71", "--clear-groups"} <= set(launcher(account))


def test_root_without_anybody_else_is_refused():
    with pytest.raises(EmbeddedPostgresError, match="start chatd as another user"):
        server_account(0, known())


def test_the_programs_do_not_see_what_our_environment_says_of_postgresql_and_language(monkeypatch):
    for name in ("PGDATA", "PGPORT", "PGOPTIONS", "LANG", "LC_MESSAGES"):
        monkeypatch.setenv(name, "something")
    monkeypatch.setenv("LD_LIBRARY_PATH", "/opt/postgresql/lib")
    assert set(environment()) == {"PATH", "LC_ALL", "LD_LIBRARY_PATH"}


def test_root_keeps_its_state_outside_of_its_home_and_others_where_xdg_says():
    assert default_state_folder(0, {"XDG_STATE_HOME": "/x/state"}) == ROOT_STATE_FOLDER
    assert default_state_folder(1000, {"XDG_STATE_HOME": "/x/state"}) == Path("/x/state/chatd")
    for useless in ({}, {"XDG_STATE_HOME": ""}, {"XDG_STATE_HOME": "relative"}):
        assert default_state_folder(1000, useless) == Path.home() / ".local/state/chatd"


def test_a_state_folder_that_the_servers_user_cannot_enter_is_refused_by_the_name_of_the_closed_one(open_folder):
    closed = open_folder / "home"
    closed.mkdir(mode=0o700)
    state = closed / "some" / "state"
    with pytest.raises(EmbeddedPostgresError, match=f"stranger.* cannot enter {closed}: choose another") as refused:
        prepare_state_folder(state, STRANGER)
    assert "\n" not in str(refused.value)
    assert list(closed.iterdir()) == []


def test_a_link_does_not_lead_around_a_closed_folder(open_folder):
    closed = open_folder / "home"
    closed.mkdir(mode=0o700)
    (closed / "state").mkdir()
    (closed / "link").symlink_to(open_folder)
    (open_folder / "link").symlink_to(closed / "state")
    assert barrier(closed / "link", STRANGER) == closed
    assert barrier(open_folder / "link", STRANGER) == closed
    assert barrier(open_folder / "link", None) is None


def test_a_new_state_folder_lets_the_servers_user_pass_and_nobody_look(open_folder, tmp_path):
    prepare_state_folder(open_folder / "state", STRANGER)
    assert mode(open_folder / "state") == 0o711
    prepare_state_folder(tmp_path / "state", None)
    assert mode(tmp_path / "state") == 0o700


def test_data_of_another_user_is_refused(open_folder):
    data_folder(open_folder).mkdir()
    with pytest.raises(EmbeddedPostgresError, match="belongs to the user with id"):
        prepare_state_folder(open_folder, STRANGER)


def test_the_lock_keeps_a_second_holder_out_until_it_is_released(tmp_path):
    first = FolderLock.acquire(tmp_path)
    with pytest.raises(EmbeddedPostgresError, match=f"{tmp_path} is in use by process {os.getpid()}: "):
        FolderLock.acquire(tmp_path)
    first.release()
    FolderLock.acquire(tmp_path).release()


def test_programs_that_the_servers_user_cannot_read_are_copied_once(open_folder):
    folder = open_folder / "venv" / "package" / "install" / "bin"
    for name in ("install/bin/postgres", "install/bin/initdb", "install/lib/x.so", "install/share/x.txt"):
        file = open_folder / "venv" / "package" / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(name)
        file.chmod(0o700 if "/bin/" in name else 0o600)
    (open_folder / "venv" / "package.libs").mkdir()
    (open_folder / "venv").chmod(0o700)
    original = Binaries(folder=folder, version="18.4", major=18)
    assert reachable_binaries(original, None, open_folder) == original

    copy = reachable_binaries(original, STRANGER, open_folder)
    assert copy.folder.is_relative_to(open_folder / "postgresql-18.4")
    assert barrier(copy.postgres, STRANGER, 0o5) is None
    assert barrier(copy.folder.parent / "share" / "x.txt", STRANGER, 0o4) is None
    # Where a wheel's programs look for their libraries.
    assert (copy.folder / "../../../package.libs").is_dir()

    made = copy.postgres.stat().st_ino
    assert reachable_binaries(original, STRANGER, open_folder).postgres.stat().st_ino == made


def test_programs_that_only_work_where_they_are_are_not_copied(open_folder):
    folder = open_folder / "closed" / "bin"
    folder.mkdir(parents=True)
    (open_folder / "closed").chmod(0o700)
    with pytest.raises(EmbeddedPostgresError, match=f"may not use {open_folder / 'closed'}: "):
        reachable_binaries(Binaries(folder=folder, version="15.1", major=15), STRANGER, open_folder)


def test_a_short_path_has_its_socket_in_the_state_folder(tmp_path):
    sockets = make_socket_folder(tmp_path, None)
    assert sockets.parent == tmp_path
    assert mode(sockets) == 0o700
    (sockets / ".s.PGSQL.5432").touch()
    (sockets / ".s.PGSQL.5432.lock").touch()
    remove_socket_folder(tmp_path, sockets)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("name", ["long" * 25, "with, comma", "with space"])
def test_a_path_that_cannot_be_an_address_has_its_socket_elsewhere_and_one_place_only(tmp_path, name):
    state, temporary = tmp_path / name, tmp_path / "tmp"
    state.mkdir()
    temporary.mkdir()
    sockets = make_socket_folder(state, None, temporary=temporary)
    assert sockets.parent == temporary
    assert mode(sockets) == 0o700
    assert make_socket_folder(state, None, temporary=temporary) == sockets, "a killed process's is used again"
    remove_socket_folder(state, sockets)
    assert list(temporary.iterdir()) == list(state.iterdir()) == []


def test_a_socket_folder_that_others_have_taken_is_left_alone(tmp_path):
    state, temporary = tmp_path / "with space", tmp_path / "tmp"
    state.mkdir()
    temporary.mkdir()
    former = make_socket_folder(state, None, temporary=temporary)
    former.chmod(0o777)
    second = make_socket_folder(state, None, temporary=temporary)
    assert second != former
    second.rmdir()
    assert make_socket_folder(state, None, temporary=temporary).is_dir(), "one that was tidied away is made anew"


def test_only_what_is_postgresqls_is_removed_with_the_socket_folder(tmp_path):
    state, temporary, elsewhere = tmp_path / "with space", tmp_path / "tmp", tmp_path / "elsewhere"
    for folder in (state, temporary, elsewhere):
        folder.mkdir(mode=0o700)
    (state / "postgres-socket").symlink_to(elsewhere)
    sockets = make_socket_folder(state, None, temporary=temporary)
    assert sockets.parent == temporary
    (sockets / "letters").touch()
    remove_socket_folder(state, sockets)
    assert (sockets / "letters").exists()
    assert elsewhere.exists()


def test_a_log_beyond_its_limit_is_put_aside_at_the_next_start(tmp_path):
    log = tmp_path / "postgres.log"
    log.write_text("short\n")
    os.close(open_log(tmp_path))
    assert log.read_text() == "short\n"
    os.truncate(log, LOG_LIMIT_BYTES + 1)
    os.close(open_log(tmp_path))
    assert log.stat().st_size == 0
    assert (tmp_path / "postgres.log.1").stat().st_size == LOG_LIMIT_BYTES + 1
