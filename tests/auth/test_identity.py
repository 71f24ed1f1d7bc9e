"""What decides whose a token is is put together from the settings, or the start ends with one line."""

import pytest
from twisted.internet.testing import MemoryReactorClock

from chatd.auth.identity import build_identity, issuer_of, keys_text, trusted
from chatd.errors import Unauthorized
from chatd.security.jwks import KeySet
from chatd.security.tokens import Issuer, SigningKey
from chatd.settings.base import Secret, SettingsError
from chatd.settings.issuers import IntrospectionSettings, IssuerSettings
from chatd.settings.model import Settings
from tests.kit.at_once import watch

KEY = SigningKey(bytes(32))
ASKED = IntrospectionSettings(url="https://c/i", client_id="x", client_secret=Secret("y"), opaque=True)


def configured(**members):
    return IssuerSettings(name="a", audience="chat", **members)


def opened(**members):
    issuer = configured(**members)
    return issuer_of(issuer, keys_text(issuer))


def test_keys_are_read_from_their_file(tmp_path):
    (tmp_path / "keys.json").write_bytes(KEY.public_jwks())
    issuer = opened(jwks_file=str(tmp_path / "keys.json"))
    assert (issuer.name, issuer.audience, issuer.keys.keys[0].kid) == ("a", "chat", KEY.kid)
    assert opened(jwks_url="https://a/k").keys is None


@pytest.mark.parametrize("origin", ["jwks_file", "pem_file"])
def test_a_file_that_holds_none_stops_the_start(origin, tmp_path):
    (tmp_path / "keys").write_text("nonsense")
    for name in ("keys", "nothing"):
        with pytest.raises(SettingsError) as caught:
            opened(**{origin: str(tmp_path / name)})
        assert (caught.value.key, caught.value.source) == ("tokens", str(tmp_path / name))


def test_authorities_are_the_systems_unless_others_are_named():
    assert trusted(b"", "") is None
    with pytest.raises(SettingsError, match="holds no certificate") as caught:
        trusted(b"nonsense", "ca.pem")
    assert (caught.value.key, caught.value.source) == ("tokens.ca_file", "ca.pem")


def test_each_issuer_has_its_own_way():
    reactor = MemoryReactorClock()
    table = [
        IssuerSettings(name="a", audience="chat", jwks_file="read already"),
        IssuerSettings(name="b", audience="chat", jwks_url="https://b/k"),
        IssuerSettings(name="c", audience="chat", introspection=ASKED),
    ]
    issuers = [
        Issuer("a", "chat", KeySet.from_jwks(KEY.public_jwks())),
        *(Issuer(name, "chat", None) for name in ("b", "c")),
    ]
    identity = build_identity(Settings(), issuers, table, None, reactor, lambda: 1000.0)
    assert list(identity.sources) == ["b"]
    assert list(identity.introspections) == ["c"]

    def verify(issuer):
        token = KEY.mint("alice", issuer=issuer, audience="chat", now=1000.0, lifetime=60.0, token_id="t")
        return watch(identity.verifier.verify(token, "phone"))

    assert verify("a").result.user == "alice"
    assert not verify("b").ended, "its keys are on their way"
    # Of an issuer without keys no JWT is taken: nobody could tell whose it is.
    assert isinstance(verify("c").error, Unauthorized)
    assert isinstance(verify("d").error, Unauthorized)
    identity.stop()
