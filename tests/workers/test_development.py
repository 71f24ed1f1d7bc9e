"""A try-out makes its own keys and people, keeps the keys to itself, and finds them again."""

import os
import re
import stat
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from chatd.security.jwks import KeySet
from chatd.security.keyring import MasterKeys
from chatd.security.tokens import Issuer, TokenRefused, TokenVerifier
from chatd.settings.base import SettingsError
from chatd.workers import private_file
from chatd.workers.development import DevelopmentIdentity, banner, prepare

NOW = 1_800_000_000.5
ADDRESS = "http://127.0.0.1:8443"


@pytest.fixture
def state(tmp_path: Path) -> Path:
    return tmp_path / "above" / "state"


@pytest.fixture
def open_umask() -> Iterator[None]:
    """Files are made for everyone unless they ask for less."""
    former = os.umask(0)
    yield
    os.umask(former)


def prepared(state: Path, now: float = NOW) -> DevelopmentIdentity:
    return prepare(state, lambda: now)


def verifier(identity: DevelopmentIdentity, now: float) -> TokenVerifier:
    keys = KeySet.from_jwks(identity.signing_key.public_jwks())
    return TokenVerifier([Issuer(identity.issuer, identity.audience, keys)], clock=lambda: now)


def tokens(identity: DevelopmentIdentity) -> list[str]:
    return [person.token.reveal() for person in identity.people]


def test_the_tokens_speak_for_alice_and_bob_for_a_day(state: Path) -> None:
    identity = prepared(state)
    almost, over = (verifier(identity, NOW + 24 * 3600 + shift) for shift in (-1, 1))
    assert [almost.verify(token).user for token in tokens(identity)] == ["alice", "bob"]
    for token in tokens(identity):
        with pytest.raises(TokenRefused):
            over.verify(token)


def test_every_token_has_a_name_of_its_own(state: Path) -> None:
    both = [*tokens(prepared(state)), *tokens(prepared(state))]
    check = verifier(prepared(state), NOW)
    assert len({check.verify(token).token_id for token in both}) == 4


def test_the_keys_are_the_same_at_the_next_start(state: Path) -> None:
    first, second = prepared(state), prepared(state, NOW + 1)
    assert second.signing_key.kid == first.signing_key.kid
    assert second.master_keys == first.master_keys
    assert MasterKeys.parse(second.master_keys.reveal()).current == "dev-1"
    assert [verifier(second, NOW + 1).verify(token).user for token in tokens(first)] == ["alice", "bob"]


def test_another_state_folder_has_other_keys(tmp_path: Path) -> None:
    one, other = prepared(tmp_path / "one"), prepared(tmp_path / "other")
    assert one.master_keys != other.master_keys
    assert one.signing_key.kid != other.signing_key.kid


@pytest.mark.usefixtures("open_umask")
def test_what_is_kept_is_for_its_owner_alone(state: Path) -> None:
    prepared(state)
    prepared(state)
    modes = {path.name: stat.S_IMODE(path.stat().st_mode) for path in state.iterdir()}
    assert modes == {"signing-key.json": 0o600, "master-keys": 0o600, "tokens.env": 0o600}
    # Root's database belongs to another user, who has to pass through.
    assert stat.S_IMODE(state.stat().st_mode) == (0o711 if os.geteuid() == 0 else 0o700)


def test_a_folder_that_exists_keeps_its_permissions(state: Path) -> None:
    state.mkdir(parents=True, mode=0o755)
    prepared(state)
    assert stat.S_IMODE(state.stat().st_mode) == 0o755


def test_no_form_of_the_identity_shows_a_key_or_token(state: Path) -> None:
    identity = prepared(state)
    shown = f"{identity} {identity!r} {identity.people}"
    secrets = [identity.master_keys.reveal().strip(), *tokens(identity)]
    assert not [secret for secret in secrets if secret in shown]
    assert "SigningKey" not in shown


def test_the_banner_warns_and_gives_lines_that_work(state: Path) -> None:
    identity = prepared(state)
    text = banner(identity, ADDRESS)
    assert "NOT FOR PRODUCTION" in text
    assert f"{ADDRESS}/v1/messages" in text
    assert "{http}" not in text
    alice, bob = tokens(identity)
    assert f"\nexport ALICE={alice}\nexport BOB={bob}\n" in text
    program = re.search(r"python3 - <<'END'\n(.*?)\nEND\n", text, re.DOTALL)
    assert program is not None
    compile(program[1], "listener", "exec")
    assert '"ws://127.0.0.1:8443/v1/ws", subprotocols=["chatd.v1.json"]' in program[1]
    lines = text.replace("\\\n", "").splitlines()
    for command in (line for line in lines if line.startswith(("curl", ". "))):
        subprocess.run(["sh", "-n", "-c", command], check=True)


def test_with_tls_the_banner_gives_a_secure_socket(state: Path) -> None:
    assert "wss://127.0.0.1:8443/v1/ws" in banner(prepared(state), "https://127.0.0.1:8443")


def test_another_terminal_takes_the_tokens_from_the_file(tmp_path: Path) -> None:
    identity = prepared(tmp_path / "a folder's name")
    line = next(line for line in banner(identity, ADDRESS).splitlines() if line.startswith(". "))
    shell = subprocess.run(
        ["sh", "-c", f"{line}\nexec env"], env={"PATH": os.environ["PATH"]}, capture_output=True, text=True, check=True
    )
    alice, bob = tokens(identity)
    assert {f"ALICE={alice}", f"BOB={bob}"} <= set(shell.stdout.splitlines())


# What cannot be used is refused in one line


def refusal(state: Path) -> str:
    with pytest.raises(SettingsError) as caught:
        prepared(state)
    assert (caught.value.key, caught.value.source) == ("state_dir", str(state))
    assert len(str(caught.value).splitlines()) == 1
    return str(caught.value)


@pytest.mark.parametrize("name", ["signing-key.json", "master-keys"])
def test_a_key_that_others_can_read_is_not_used(name: str, state: Path) -> None:
    prepared(state)
    (state / name).chmod(0o640)
    assert f"chmod 600 {state / name}" in refusal(state)


@pytest.mark.parametrize("name", ["signing-key.json", "master-keys"])
def test_a_link_in_place_of_a_key_is_not_followed(name: str, state: Path, tmp_path: Path) -> None:
    prepared(state)
    (state / name).rename(tmp_path / name)
    (state / name).symlink_to(tmp_path / name)
    assert f"{state / name} cannot be used" in refusal(state)


@pytest.mark.parametrize(
    ("name", "remedy"), [("signing-key.json", "delete it for a new key"), ("master-keys", "restore it")]
)
@pytest.mark.parametrize("content", [b"", b"{}", b"\xff", b"x" * 100])
def test_a_key_that_was_damaged_is_neither_used_nor_quoted(name: str, remedy: str, content: bytes, state: Path) -> None:
    prepared(state)
    (state / name).write_bytes(content)
    line = refusal(state)
    assert name in line
    assert remedy in line
    assert "xxx" not in line
    assert (state / name).read_bytes() == content


def test_a_folder_that_others_can_write_to_is_not_used(state: Path) -> None:
    state.mkdir(parents=True)
    state.chmod(0o777)
    assert "others must not write to it" in refusal(state)


def test_a_file_in_place_of_the_folder_is_named(tmp_path: Path) -> None:
    (tmp_path / "state").touch()
    assert f"{tmp_path / 'state'} cannot be used" in refusal(tmp_path / "state")


# Files for their owner alone


def test_of_two_that_make_a_file_at_once_one_wins_and_both_return_it(tmp_path: Path) -> None:
    path = tmp_path / "key"

    def make() -> str:
        private_file.keep(path, lambda: "the winner's")
        return "the loser's"

    assert private_file.keep(path, make) == "the winner's"
    assert [entry.name for entry in tmp_path.iterdir()] == ["key"]


def test_a_file_is_not_there_before_it_is_whole(tmp_path: Path) -> None:
    """Its text cannot be encoded, so that writing fails half way."""
    with pytest.raises(UnicodeEncodeError):
        private_file.keep(tmp_path / "key", lambda: "x" * 100_000 + "\udcff")
    assert list(tmp_path.iterdir()) == []


def test_replacing_a_file_does_not_open_it(tmp_path: Path) -> None:
    """Whoever could read the old file keeps that one, and gets nothing of the new."""
    path = tmp_path / "tokens"
    path.write_text("old")
    path.chmod(0o644)
    with path.open() as reader:
        private_file.replace(path, "new")
        assert reader.read() == "old"
    assert private_file.read(path) == "new"
