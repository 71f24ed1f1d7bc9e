"""The file of issuers is read whole at the start, or the start ends with a line that names table and key."""

from pathlib import Path

import pytest

from chatd.settings.base import SettingsError
from chatd.settings.issuers import issuers
from chatd.settings.model import Tokens
from chatd.settings.urls import fetch_problem
from tests.kit.settings import private

NAME = "https://auth.example.com"
HEAD = f'[[issuer]]\nname = "{NAME}"\naudience = "chat"\n'
URL = 'jwks_url = "https://auth.example.com/jwks.json"\n'
ASKED = (
    '[issuer.introspection]\nurl = "https://auth.example.com/introspect"\nclient_id = "chatd"\n'
    'client_secret_env = "SECRET"\n'
)


def load(tmp_path: Path, text: str, environ: dict[str, str] | None = None, **tokens: str):
    (tmp_path / "issuers.toml").write_text(text)
    return issuers(Tokens(issuers_file=str(tmp_path / "issuers.toml"), **tokens), {"SECRET": "s"} | (environ or {}))


def test_an_issuer_of_the_settings_needs_no_file():
    [issuer] = issuers(Tokens(issuer="a", audience="b", jwks_url="https://a/k"), {})
    assert (issuer.name, issuer.audience, issuer.fetched) == ("a", "b", True)
    assert issuers(Tokens(), {}) == []


def test_several_issuers_each_with_its_own_keys(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    other = '[[issuer]]\nname = "b"\naudience = "c"\njwks_file = "keys.json"\n'
    third = '[[issuer]]\nname = "d"\naudience = "c"\npem_file = "key.pem"\n'
    first, second, *_, last = load(tmp_path, HEAD + URL + ASKED + other + third, issuer="z", audience="y", pem_file="p")
    assert (first.name, second.name) == ("z", NAME)
    assert second.introspection.client_secret.reveal() == "s"
    assert (second.introspection.every_seconds, second.introspection.opaque) == (60.0, False)
    assert (last.pem_file, last.fetched, last.has_keys) == (str(tmp_path / "key.pem"), False, True)


def test_an_issuer_may_have_opaque_tokens_alone(tmp_path):
    [issuer] = load(tmp_path, HEAD + ASKED + "opaque = true\n")
    assert issuer.introspection.opaque
    assert not issuer.has_keys


def test_a_secret_may_stand_in_a_file_that_is_closed_to_others(tmp_path):
    asked = ASKED.replace('_env = "SECRET"', f'_file = "{tmp_path}/secret"')
    secret = private(tmp_path / "secret", "from a file\n")
    [issuer] = load(tmp_path, HEAD + URL + asked)
    assert issuer.introspection.client_secret.reveal() == "from a file"
    assert "from a file" not in repr(issuer)
    secret.chmod(0o644)
    with pytest.raises(SettingsError, match=r"introspection\.client_secret_file .*open to every user"):
        load(tmp_path, HEAD + URL + asked)


BAD = {
    "not TOML": ("x", "tokens.issuers_file", "is not TOML"),
    "no issuer": ("", "issuer", "must be tables [[issuer]]"),
    "single table": ("[issuer]\n", "issuer", "must be tables [[issuer]]"),
    "texts": ('issuer = ["a"]\n', "[[issuer]] 1", "must be a table"),
    "other table": ("[tokens]\n", "tokens", "no such setting here"),
    "unknown key": (HEAD + URL + "jwks = 1\n", "[[issuer]] 1 jwks", "no such setting; there are name, audience"),
    "no name": ('[[issuer]]\naudience = "a"\n' + URL, "[[issuer]] 1 name", "is missing"),
    "no audience": ('[[issuer]]\nname = "a"\n' + URL, "[[issuer]] 1 audience", "is missing"),
    "empty name": (HEAD.replace(NAME, "") + URL, "[[issuer]] 1 name", "must not be empty"),
    "number for text": (HEAD + "jwks_url = 1\n", "[[issuer]] 1 jwks_url", "must be text"),
    "text for truth": (HEAD + 'discovery = "yes"\n', "[[issuer]] 1 discovery", "must be true or false"),
    "no keys": (HEAD, "[[issuer]] 1 jwks_url", "set this, discovery, jwks_file or pem_file"),
    "no keys but asked": (HEAD + ASKED, "[[issuer]] 1 jwks_url", "or opaque tokens only"),
    "two origins": (HEAD + URL + "discovery = true\n", "[[issuer]] 1 discovery", "jwks_url is set too"),
    "published secrets": (HEAD + URL + "hs256 = true\n", "[[issuer]] 1 hs256", "stand in jwks_file"),
    "plain text": (HEAD + 'jwks_url = "http://a.example/k"\n', "[[issuer]] 1 jwks_url", "must be an https:// URL"),
    "discovery of no URL": (HEAD.replace(NAME, "chat") + "discovery = true\n", "[[issuer]] 1 name", "must be a URL"),
    "twice": (HEAD + URL + HEAD + URL, "[[issuer]] 2 name", "stands here twice"),
    "two opaque": (
        HEAD + ASKED + "opaque = true\n" + HEAD.replace(NAME, "b") + ASKED + "opaque = true\n",
        "[[issuer]] 2 introspection.opaque",
        "only one issuer can have opaque tokens",
    ),
    "introspection as a value": (HEAD + URL + "introspection = 1\n", "[[issuer]] 1 introspection", "must be a table"),
    "introspection in the open": (
        HEAD + URL + ASKED.replace("https", "http"),
        "[[issuer]] 1 introspection.url",
        "must be an https:// URL",
    ),
    "unknown key of it": (HEAD + URL + ASKED + "every = 1\n", "[[issuer]] 1 introspection.every", "every_seconds"),
    "too often": (
        HEAD + URL + ASKED + "every_seconds = 0\n",
        "[[issuer]] 1 introspection.every_seconds",
        "must be seconds from 1 to 86400",
    ),
    "two secrets": (
        HEAD + URL + ASKED + 'client_secret_file = "x"\n',
        "[[issuer]] 1 introspection.client_secret_file",
        "and not both",
    ),
    "variable of chatd's": (
        HEAD + URL + ASKED.replace("SECRET", "CHATD_SECRET"),
        "[[issuer]] 1 introspection.client_secret_env",
        "are chatd's own settings",
    ),
    "variable that is not there": (
        HEAD + URL + ASKED.replace("SECRET", "ANOTHER"),
        "[[issuer]] 1 introspection.client_secret_env",
        "the environment has no ANOTHER",
    ),
}


@pytest.mark.parametrize("case", BAD)
def test_what_is_wrong_is_one_line_with_table_key_and_remedy(case, tmp_path):
    text, key, remedy = BAD[case]
    with pytest.raises(SettingsError) as caught:
        load(tmp_path, text)
    assert (caught.value.key, caught.value.source) == (key, str(tmp_path / "issuers.toml"))
    assert remedy in str(caught.value)
    assert len(str(caught.value).splitlines()) == 1


def test_no_file_no_start(tmp_path):
    with pytest.raises(SettingsError, match="No such file"):
        issuers(Tokens(issuers_file=str(tmp_path / "nothing")), {})


def test_shared_secrets_are_closed_to_others(tmp_path):
    keys = private(tmp_path / "keys.json", "{}")
    text = HEAD + f'hs256 = true\njwks_file = "{keys}"\n'
    assert load(tmp_path, text)[0].hs256
    keys.chmod(0o604)
    with pytest.raises(SettingsError, match=r"\[\[issuer\]\] 1 jwks_file .*open to every user"):
        load(tmp_path, text)


@pytest.mark.parametrize(
    "url", ["https://a", "https://a:8443/x?y=z", "http://localhost:1/x", "http://127.0.0.1/", "http://[::1]:80/"]
)
def test_what_may_be_fetched(url):
    assert fetch_problem(url) is None


@pytest.mark.parametrize(
    "url",
    [
        "",
        "a",
        "//a/b",
        "https://",
        "ftp://a/",
        "file:///etc/passwd",
        "javascript:x",
        "http://a.example/",
        "http://127.0.0.1.example/",
        "http://localhost.example/",
        "http://192.0.2.1/",
        "http://0x7f.1/",
        "https://u:p@a/",
        "https://a@b/",
        "https://a/#x",
        "https://a\\@b/",
        "https://a b/",
        "https://a/\n",
        "https://ä/",
        "https://a:99999/",
        "https://[::1/",
    ],
)
def test_what_may_not(url):
    assert fetch_problem(url).startswith("must be ")
