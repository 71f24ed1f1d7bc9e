"""What workers are given of what settings point to."""

from pathlib import Path

import msgspec
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from chatd.security.keyring import MasterKeys
from chatd.settings.base import Secret, SettingsError
from chatd.settings.model import Encryption, Settings, Tls, Tokens
from chatd.workers import credentials, development
from tests.kit.certificates import write_certificate
from tests.kit.settings import private
from tests.kit.tokens import AUDIENCE, ISSUER, AuthService


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    """Those of a server with everything in files."""
    private(tmp_path / "jwks.json", AuthService().jwks.decode())
    write_certificate(tmp_path)
    return Settings(
        tls=Tls(certificate=str(tmp_path / "certificate.pem"), key=str(tmp_path / "key.pem")),
        tokens=Tokens(issuer=ISSUER, audience=AUDIENCE, jwks_file=str(tmp_path / "jwks.json")),
        encryption=Encryption(master_keys=Secret(MasterKeys.generate_line("2025-11"))),
    )


def test_what_was_read_is_used_whatever_becomes_of_the_files(settings: Settings, tmp_path: Path) -> None:
    order = credentials.order(settings, None)
    for name in ("jwks.json", "certificate.pem", "key.pem"):
        (tmp_path / name).unlink()
    secrets = credentials.opened(order)
    assert secrets.tls is not None
    assert [(one.name, one.audience) for one in secrets.issuers] == [(ISSUER, AUDIENCE)]


def test_without_a_certificate_there_is_no_tls(settings: Settings) -> None:
    order = credentials.order(msgspec.structs.replace(settings, tls=Tls()), None)
    assert credentials.opened(order).tls is None


def test_a_try_out_has_its_own(tmp_path: Path) -> None:
    identity = development.prepare(tmp_path, lambda: 0.0)
    secrets = credentials.opened(credentials.order(Settings(dev=True), identity))
    assert [(one.name, one.audience) for one in secrets.issuers] == [(identity.issuer, identity.audience)]


@pytest.mark.parametrize(
    ("name", "key", "problem"),
    [
        ("jwks.json", "tokens", "not JSON|no JWK Set|JSON"),
        ("certificate.pem", "tls.certificate", "no certificate"),
        ("key.pem", "tls.key", "no private key"),
    ],
)
@pytest.mark.parametrize("content", [b"rubbish", b"\xff\xfe\x00"])
def test_a_file_with_rubbish_is_named(
    name: str, key: str, problem: str, content: bytes, settings: Settings, tmp_path: Path
) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(SettingsError, match=problem) as caught:
        credentials.order(settings, None)
    assert (caught.value.key, caught.value.source) == (key, str(tmp_path / name))


@pytest.mark.parametrize("name", ["jwks.json", "certificate.pem", "key.pem"])
def test_a_file_that_has_gone_is_named(name: str, settings: Settings, tmp_path: Path) -> None:
    (tmp_path / name).unlink()
    with pytest.raises(SettingsError, match="cannot be read") as caught:
        credentials.order(settings, None)
    assert caught.value.source == str(tmp_path / name)


def test_master_keys_that_are_none_are_refused_and_not_shown(settings: Settings) -> None:
    broken = msgspec.structs.replace(settings, encryption=Encryption(master_keys=Secret("hunter2")))
    with pytest.raises(SettingsError) as caught:
        credentials.order(broken, None)
    assert caught.value.key == "encryption.master_keys"
    assert "hunter2" not in str(caught.value)


def test_one_public_key_in_pem_serves_as_well(settings: Settings, tmp_path: Path) -> None:
    pem = Ed25519PrivateKey.generate().public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    (tmp_path / "key.pub").write_bytes(pem)
    tokens = Tokens(issuer=ISSUER, audience=AUDIENCE, pem_file=str(tmp_path / "key.pub"))
    order = credentials.order(msgspec.structs.replace(settings, tokens=tokens), None)
    assert [one.name for one in credentials.opened(order).issuers] == [ISSUER]
