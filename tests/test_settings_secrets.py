"""Secrets are shown nowhere, and files that hold them are closed to others."""

import json
from collections.abc import Callable
from pathlib import Path

import msgspec
import pytest

from chatd.settings.base import Secret
from chatd.settings.sources import load
from tests.kit.settings import DEV, PASSWORD, private, production, refusal


@pytest.fixture
def environment(tmp_path: Path) -> dict[str, str]:
    return production(tmp_path)


@pytest.fixture
def toml(tmp_path: Path) -> Callable[[str], str]:
    """Writes a file of settings, for its owner alone, and says where it is."""
    return lambda text: str(private(tmp_path / "chatd.toml", text))


def test_no_form_of_the_settings_shows_a_secret(environment: dict[str, str]) -> None:
    settings = load({}, environment)
    assert PASSWORD in settings.database.dsn.reveal()
    assert PASSWORD not in f"{settings} {settings!r} {settings.database.dsn} {settings.encryption.master_keys!r}"
    assert not hasattr(settings.database.dsn, "__dict__")
    with pytest.raises(TypeError):
        msgspec.json.encode(settings)


def test_a_secret_equals_only_the_same_secret() -> None:
    assert Secret("a") == Secret("a")
    assert len({Secret("a"), Secret("a"), Secret("b")}) == 2
    assert Secret("a") != "a"
    assert not Secret()


@pytest.mark.parametrize("value", [5, ["x"], {"x": 1}])
def test_a_secret_of_the_wrong_type_is_not_quoted(value: object, toml: Callable[[str], str]) -> None:
    literal = "{ x = 1 }" if isinstance(value, dict) else json.dumps(value)
    error = refusal({**DEV, "--config": toml(f"[database]\ndsn = {literal}")}, {})
    assert str(error).endswith("must be text in UTF-8")


def test_bytes_in_a_secret_are_refused_without_showing_the_rest() -> None:
    error = refusal(DEV, {"CHATD_DATABASE_DSN": f"{PASSWORD}\udcff"})
    assert PASSWORD not in str(error)
    assert error.__cause__ is None


def test_secrets_are_read_from_files_of_their_own(environment: dict[str, str], tmp_path: Path) -> None:
    del environment["CHATD_DATABASE_DSN"], environment["CHATD_ENCRYPTION_MASTER_KEYS"]
    flags = {
        "--database-dsn-file": str(private(tmp_path / "dsn", "host=db\n")),
        "--encryption-master-keys-file": str(private(tmp_path / "keys", "a:1\nb:2\n")),
        "--contacts-secret-file": str(private(tmp_path / "secret", "s3cret\n")),
    }
    settings = load(flags, environment)
    assert settings.database.dsn.reveal() == "host=db"
    assert settings.encryption.master_keys.reveal() == "a:1\nb:2"
    assert settings.contacts.secret.reveal() == "s3cret"


def test_the_credential_of_systemd_serves_where_no_master_keys_are_set(
    environment: dict[str, str], tmp_path: Path
) -> None:
    private(tmp_path / "chatd-master-keys", "systemd:1")
    environ = {**environment, "CREDENTIALS_DIRECTORY": str(tmp_path)}
    assert load({}, environ).encryption.master_keys.reveal() == environment["CHATD_ENCRYPTION_MASTER_KEYS"]
    del environ["CHATD_ENCRYPTION_MASTER_KEYS"]
    assert load({}, environ).encryption.master_keys.reveal() == "systemd:1"
    assert refusal({}, {**environ, "CREDENTIALS_DIRECTORY": "/nowhere"}).key == "encryption.master_keys_file"


@pytest.mark.parametrize("mode", [0o604, 0o602, 0o644])
def test_a_secret_that_every_user_can_read_or_write_stops_the_start(mode: int, tmp_path: Path) -> None:
    path = private(tmp_path / "dsn", PASSWORD)
    path.chmod(mode)
    error = refusal({**DEV, "--database-dsn-file": str(path)}, {})
    assert (error.key, error.source) == ("database.dsn_file", "--database-dsn-file")
    assert f"chmod o= {path}" in str(error)


@pytest.mark.parametrize("mode", [0o600, 0o400, 0o640])
def test_a_group_may_read_a_secret(mode: int, tmp_path: Path) -> None:
    path = private(tmp_path / "dsn", PASSWORD)
    path.chmod(mode)
    assert load({**DEV, "--database-dsn-file": str(path)}, {}).database.dsn.reveal() == PASSWORD


def test_other_files_with_secrets_are_held_to_the_same(
    environment: dict[str, str], tmp_path: Path, toml: Callable[[str], str]
) -> None:
    config = Path(toml(f'[database]\ndsn = "{PASSWORD}"'))
    key, certificate = private(tmp_path / "key", ""), private(tmp_path / "certificate", "")
    jwks = Path(environment["CHATD_TOKENS_JWKS_FILE"])
    for path in (config, key, certificate, jwks):
        path.chmod(0o644)
    assert refusal({**DEV, "--config": str(config)}, {}).key == "database.dsn"
    tls: dict[str, str | bool] = {"--tls-certificate": str(certificate), "--tls-key": str(key)}
    assert refusal({**DEV, **tls}, {}).key == "tls.key"
    assert load({}, environment).tokens.jwks_file == str(jwks)
    assert refusal({"--tokens-hs256": True}, environment).key == "tokens.jwks_file"


@pytest.mark.parametrize(
    ("content", "problem"), [(b"", "is empty"), (b" \n", "is empty"), (b"\xff", "UTF-8"), (None, "cannot be read")]
)
def test_a_file_without_its_secret_stops_the_start(content: bytes | None, problem: str, tmp_path: Path) -> None:
    path = tmp_path / "dsn"
    if content is not None:
        private(path, "").write_bytes(content)
    assert problem in str(refusal({**DEV, "--database-dsn-file": str(path)}, {}))


def test_a_folder_is_no_secret(tmp_path: Path) -> None:
    tmp_path.chmod(0o700)
    assert "Is a directory" in str(refusal({**DEV, "--database-dsn-file": str(tmp_path)}, {}))
