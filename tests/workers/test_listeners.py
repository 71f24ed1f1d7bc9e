"""The sockets that are held for the workers."""

import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
from twisted.internet.error import CannotListenError

from chatd.settings.base import SettingsError
from chatd.settings.model import Settings, Tls
from chatd.workers.activation import inherited
from chatd.workers.listeners import check_inherited, listen
from tests.kit.ports import reserve_port

PID = 77


def accepts(address: tuple[str, int]) -> bool:
    with closing(socket.socket(socket.AF_INET6 if ":" in address[0] else socket.AF_INET)) as one:
        return one.connect_ex(address) == 0


@pytest.mark.parametrize("host", ["127.0.0.1", "::1", "localhost"])
def test_each_worker_has_a_socket_of_its_own_on_the_same_address(host: str) -> None:
    listeners = listen(Settings(host=host, port=0), [], 3)
    names = [one.getsockname()[:2] for number in (1, 2, 3) for one in listeners.of(number)]
    assert len(names) == 3
    assert len(set(names)) == 1
    address, port = names[0]
    assert listeners.address == (f"[{address}]:{port}" if ":" in address else f"{address}:{port}")
    assert accepts((address, port))
    listeners.close()
    assert not accepts((address, port))


def test_a_port_is_taken_again_and_again() -> None:
    with closing(reserve_port()) as reserved:
        for _ in range(3):
            listeners = listen(Settings(port=reserved.getsockname()[1]), [], 2)
            assert len({one.fileno() for number in (1, 2) for one in listeners.of(number)}) == 2
            listeners.close()


def test_a_port_that_another_chatd_listens_on_is_refused_though_the_kernel_would_share_it() -> None:
    first = listen(Settings(port=0), [], 2)
    port = first.of(1)[0].getsockname()[1]
    with pytest.raises(CannotListenError):
        listen(Settings(port=port), [], 2)
    first.close()


def test_an_address_that_is_not_ours_is_refused_and_nothing_stays_open() -> None:
    before = os.listdir("/proc/self/fd")
    with pytest.raises(CannotListenError):
        listen(Settings(host="192.0.2.1", port=8443), [], 2)
    assert os.listdir("/proc/self/fd") == before


def test_a_unix_socket_is_one_for_all(tmp_path: Path) -> None:
    path = tmp_path / "chatd.sock"
    listeners = listen(Settings(socket=str(path)), [], 2)
    assert listeners.of(1) == listeners.of(2)
    assert listeners.address == f"unix:{path}"
    path.unlink()
    listeners.close()


def test_a_unix_socket_in_a_folder_that_is_not_there_is_refused(tmp_path: Path) -> None:
    with pytest.raises(CannotListenError):
        listen(Settings(socket=str(tmp_path / "nowhere" / "chatd.sock")), [], 1)


# -- sockets from systemd --


@pytest.fixture
def listening() -> Iterator[socket.socket]:
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        one.listen()
        yield one


def environ(count: object) -> dict[str, str]:
    return {"LISTEN_PID": str(PID), "LISTEN_FDS": str(count)}


@pytest.fixture
def first_descriptor(monkeypatch: pytest.MonkeyPatch) -> int:
    """Where systemd's descriptors begin in this process, whose low ones are taken."""
    monkeypatch.setattr("chatd.workers.activation.FIRST", 500)
    return 500


def test_sockets_from_systemd_are_for_all_workers(first_descriptor: int, listening: socket.socket) -> None:
    os.dup2(listening.fileno(), first_descriptor)
    found = inherited(environ(1), PID)
    assert [one.getsockname() for one in found] == [listening.getsockname()]
    assert not found[0].get_inheritable()
    assert not found[0].getblocking()
    listeners = listen(Settings(), found, 2)
    assert listeners.of(1) == listeners.of(2) == found
    listeners.close()
    assert accepts(listening.getsockname())


def test_what_was_meant_for_another_process_is_left_alone() -> None:
    assert inherited(environ(1), PID + 1) == []
    assert inherited({}, PID) == []


def test_what_systemd_said_is_known_though_twisted_takes_it_away() -> None:
    read = (
        "import os; from twisted.internet import endpoints; from chatd.workers.activation import first_environment;"
        "print('LISTEN_FDS' in os.environ, first_environment()['LISTEN_FDS'])"
    )
    begin = (
        "import os, sys; os.environ.update(LISTEN_FDS='0', LISTEN_PID=str(os.getpid()));"
        "os.execv(sys.executable, [sys.executable, *sys.argv[1:]])"
    )
    ended = subprocess.run(
        [sys.executable, "-c", begin, "-c", read], capture_output=True, text=True, check=True, timeout=60
    )
    assert ended.stdout == "False 0\n"


def test_what_is_no_listening_socket_is_refused(first_descriptor: int) -> None:
    with pytest.raises(SettingsError, match="is not a number"):
        inherited(environ("many"), PID)
    with pytest.raises(SettingsError, match="is no socket"):
        inherited(environ(1), PID)
    with socket.socket() as idle:
        os.dup2(idle.fileno(), first_descriptor)
        with pytest.raises(SettingsError, match="does not listen"):
            inherited(environ(1), PID)


def test_plain_text_from_other_machines_is_refused_whoever_opened_the_socket() -> None:
    with socket.socket() as abroad, socket.socket(socket.AF_UNIX) as local:
        abroad.bind(("0.0.0.0", 0))
        with pytest.raises(SettingsError, match="tokens would travel unencrypted"):
            check_inherited(Settings(), [local, abroad])
        check_inherited(Settings(), [local])
        check_inherited(Settings(behind_proxy=True), [abroad])
        check_inherited(Settings(tls=Tls(certificate="c", key="k")), [abroad])


def test_closing_leaves_no_descriptor() -> None:
    before = os.listdir("/proc/self/fd")
    listen(Settings(port=0), [], 4).close()
    assert os.listdir("/proc/self/fd") == before
