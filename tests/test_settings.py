"""Settings come from flags, environment and file under one name, and what is wrong with them is said in one line."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any, get_args

import pytest

from chatd.settings.base import Secret
from chatd.settings.model import Settings
from chatd.settings.reference import ENVIRONMENT_ONLY, Field, fields
from chatd.settings.sources import load
from tests.kit.settings import DEV, private, production, refusal


@pytest.fixture
def environment(tmp_path: Path) -> dict[str, str]:
    return production(tmp_path)


@pytest.fixture
def toml(tmp_path: Path) -> Callable[[str], str]:
    """Writes a file of settings, for its owner alone, and says where it is."""
    return lambda text: str(private(tmp_path / "chatd.toml", text))


# What a start can do without


def test_a_try_out_needs_nothing() -> None:
    assert load(DEV, {}) == Settings(dev=True)


def test_production_starts_with_a_database_keys_and_tokens(environment: dict[str, str]) -> None:
    settings = load({}, environment)
    assert settings.database.dsn.reveal() == environment["CHATD_DATABASE_DSN"]
    assert settings.encryption.master_keys.reveal() == environment["CHATD_ENCRYPTION_MASTER_KEYS"]


@pytest.mark.parametrize(
    ("left_out", "named"),
    [
        ("CHATD_DATABASE_DSN", "database.dsn"),
        ("CHATD_ENCRYPTION_MASTER_KEYS", "encryption.master_keys_file"),
        ("CHATD_TOKENS_JWKS_FILE", "tokens.jwks_file"),
        ("CHATD_TOKENS_ISSUER", "tokens.issuer"),
        ("CHATD_TOKENS_AUDIENCE", "tokens.audience"),
    ],
)
def test_production_does_not_start_without(left_out: str, named: str, environment: dict[str, str]) -> None:
    del environment[left_out]
    error = refusal({}, environment)
    assert (error.key, error.source) == (named, "not set")


# One name in three places


def another_value(field: Field) -> Any:
    """One that is right and not the default."""
    if field.kind == "choice":
        return next(choice for choice in get_args(field.type) if choice != field.default)
    if field.key == "limits.max_message_bytes":
        return field.default + 1  # it may not fall below the frame
    if field.key == "limits.memory_bytes":
        return 2**30  # a little is not enough for a worker
    if field.kind in ("integer", "seconds"):
        least = next(meta.ge for meta in field.metas if meta.ge is not None)
        return field.default - 1 if field.default - 1 >= least else field.default + 1
    return {
        "address": "127.0.0.2",
        "boolean": True,
        "origins": ("https://a.example", "http://b.example:8080"),
        "networks": ("10.0.0.0/8", "unix"),
        "secret": Secret("elsewhere"),
        "text": "another",
        "prefix": "another",
        "rate": "0.5/s burst 7",
        "workers": 4,
    }[field.kind]


KEY_ORIGINS = {"tokens.jwks_url": "https://auth.example.com/jwks.json", "tokens.discovery": True}
"""These take the place of the file of keys that production starts with."""
PRINTS_KEYS = {"encryption.master_keys_command": "echo a:1"}
"""This takes the place of the master keys that production starts with."""


PATHS = [field for field in fields() if field.kind == "path"]
ALONE_ARE_REFUSED = {"dev", "contacts.url", "proxies.proxy_protocol"}
"""Tested by themselves below."""
ORDINARY = [field for field in fields() if field not in PATHS and field.key not in ALONE_ARE_REFUSED]


def value_of(settings: Settings, field: Field) -> Any:
    return getattr(getattr(settings, field.section) if field.section else settings, field.name)


def spelt(value: Any) -> str:
    if isinstance(value, tuple):
        return ", ".join(value)
    return value.reveal() if isinstance(value, Secret) else str(value)


def as_toml(field: Field, value: Any) -> str:
    literal = json.dumps(value.reveal() if isinstance(value, Secret) else value)
    return f"[{field.section}]\n{field.name} = {literal}\n" if field.section else f"{field.name} = {literal}\n"


@pytest.mark.parametrize("field", ORDINARY, ids=lambda field: field.key)
def test_a_setting_has_one_name_in_environment_file_and_flags(
    field: Field, environment: dict[str, str], toml: Callable[[str], str]
) -> None:
    wanted = KEY_ORIGINS.get(field.key) or PRINTS_KEYS.get(field.key) or another_value(field)
    assert value_of(load({}, environment), field) != wanted
    if field.key in KEY_ORIGINS:
        del environment["CHATD_TOKENS_JWKS_FILE"]
    if field.key in PRINTS_KEYS:
        del environment["CHATD_ENCRYPTION_MASTER_KEYS"]
    assert value_of(load({}, {**environment, field.environment: spelt(wanted)}), field) == wanted
    if field.flag:
        given = True if field.kind == "boolean" else spelt(wanted)
        assert value_of(load({field.flag: given}, environment), field) == wanted
    if field.key not in ENVIRONMENT_ONLY:
        without = {name: value for name, value in environment.items() if name != field.environment}
        assert value_of(load({"--config": toml(as_toml(field, wanted))}, without), field) == wanted


def test_a_flag_beats_the_environment_and_that_beats_the_file(toml: Callable[[str], str]) -> None:
    config = toml("port = 1\n")
    environ = {"CHATD_CONFIG": config, "CHATD_PORT": "2"}
    assert load({**DEV, "--port": "3"}, environ).port == 3
    assert load(DEV, environ).port == 2
    assert load(DEV, {"CHATD_CONFIG": config}).port == 1


def test_a_flag_that_names_the_file_beats_the_variable_that_does(toml: Callable[[str], str]) -> None:
    config = toml("port = 1\n")
    assert load({**DEV, "--config": config}, {"CHATD_CONFIG": "/does/not/exist"}).port == 1


def test_a_path_stays_right_when_the_daemon_changes_its_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert load({**DEV, "--state-dir": "state"}, {}).state_dir == str(tmp_path / "state")


def test_an_empty_flag_takes_back_what_the_environment_says() -> None:
    assert load({**DEV, "--state-dir": ""}, {"CHATD_STATE_DIR": "/somewhere"}).state_dir == ""


def test_a_wrong_value_is_not_hidden_by_the_one_that_beats_it() -> None:
    assert refusal({**DEV, "--port": "1"}, {"CHATD_PORT": "x"}).source == "CHATD_PORT"


def test_variables_of_other_programs_and_of_the_embedded_database_are_left_alone() -> None:
    assert load(DEV, {"PATH": "/bin", "CHATD_PG_BIN": "/usr/lib/postgresql/16/bin"}) == Settings(dev=True)


# What is wrong is said in one line: (flags, environment, file), then key, source and a word of what would be right

LONG = "x" * 1000
BAD: dict[str, tuple[dict[str, str | bool], dict[str, str], str, str, str, str]] = {
    "no network": ({"--proxies-trusted": "10.1.1.1/8"}, {}, "", "proxies.trusted", "--proxies-trusted", "10.0.0.0/8"),
    "everybody": ({}, {}, '[proxies]\ntrusted = ["::/0"]', "proxies.trusted", "FILE:[proxies]", "name the proxies'"),
    "PROXY protocol from nobody": (
        {"--proxies-proxy-protocol": True},
        {},
        "",
        "proxies.proxy_protocol",
        "--proxies-proxy-protocol",
        "name them in proxies.trusted",
    ),
    "unknown flag": ({"--prot": "1"}, {}, "", "--prot", "command line", "did you mean --port?"),
    "secret as a flag": ({"--database-dsn": "x"}, {}, "", "--database-dsn", "command line", "CHATD_DATABASE_DSN"),
    "unknown variable": ({}, {"CHATD_TLS_CERT": "1"}, "", "CHATD_TLS_CERT", "environment", "CHATD_TLS_CERTIFICATE?"),
    "nothing like it": ({}, {"CHATD_ZZZ": "1"}, "", "CHATD_ZZZ", "environment", "no such variable"),
    "unknown key": ({}, {}, "prot = 1", "prot", "FILE", "did you mean port?"),
    "key outside its section": ({}, {}, 'certificate = ""', "certificate", "FILE", "did you mean tls.certificate?"),
    "unknown key in a section": ({}, {}, "[tls]\nkye = 1", "tls.kye", "FILE:[tls]", "did you mean tls.key?"),
    "section as a value": ({}, {}, "tls = 1", "tls", "FILE", "write [tls]"),
    "master keys in the file": (
        {},
        {},
        '[encryption]\nmaster_keys = "x"',
        "encryption.master_keys",
        "FILE:[encryption]",
        "does not belong in this file; use encryption.master_keys_file",
    ),
    "not TOML": ({}, {}, "port = \n", "config", "FILE", "line 1"),
    "line break in a key": ({}, {}, '"a\\nb" = 1', "a\nb", "FILE", "no such setting"),
    "no file": ({"--config": "/does/not/exist"}, {}, "", "config", "/does/not/exist", "cannot be read"),
    "impossible path": ({"--config": "a\0b"}, {}, "", "config", "a\0b", "null byte"),
    "word for a number": ({"--port": "x"}, {}, "", "port", "--port", "a whole number from 0 to 65535, not 'x'"),
    "above its range": ({}, {"CHATD_PORT": "65536"}, "", "port", "CHATD_PORT", "from 0 to 65535, not '65536'"),
    "below its range": ({}, {}, "[limits]\nmax_text_chars = 0", "limits.max_text_chars", "FILE:[limits]", "from 1 to"),
    "text for a number": ({}, {}, 'port = "8443"', "port", "FILE", "a whole number"),
    "truth for a number": ({}, {}, "port = true", "port", "FILE", "a whole number"),
    "huge number": ({}, {"CHATD_PORT": "9" * 5000}, "", "port", "CHATD_PORT", "..."),
    "endless deadline": ({"--timeouts-auth": "inf"}, {}, "", "timeouts.auth", "--timeouts-auth", "seconds from 1"),
    "no number": ({"--timeouts-auth": "nan"}, {}, "", "timeouts.auth", "--timeouts-auth", "seconds from 1"),
    "neither true nor false": ({}, {"CHATD_DEV": "yes"}, "", "dev", "CHATD_DEV", "true or false, not 'yes'"),
    "unknown level": ({"--log-level": "loud"}, {}, "", "log_level", "--log-level", "debug, info, warn"),
    "host name": ({"--host": "chat.example.com"}, {}, "", "host", "--host", "an IP address"),
    "empty address": ({}, {"CHATD_METRICS_HOST": ""}, "", "metrics.host", "CHATD_METRICS_HOST", "an IP address"),
    "bytes for text": ({}, {"CHATD_TOKENS_ISSUER": "\udcff"}, "", "tokens.issuer", "CHATD_TOKENS_ISSUER", "UTF-8"),
    "any origin": ({"--origins-allowed": "*"}, {}, "", "origins.allowed", "--origins-allowed", "not '*'"),
    "origin with a path": ({}, {}, '[origins]\nallowed = ["https://a/"]', "origins.allowed", "FILE:[origins]", "https"),
    "origin with a port too high": (
        {"--origins-allowed": "https://a:65536"},
        {},
        "",
        "origins.allowed",
        "--origins-allowed",
        "65535",
    ),
    "long value": ({"--log-level": LONG}, {}, "", "log_level", "--log-level", "xxx..."),
    "redis without an address": ({"--bus-kind": "redis"}, {}, "", "redis.url", "not set", "where Redis is"),
    "a cache without an address": ({"--cache-kind": "redis"}, {}, "", "redis.url", "not set", "where Redis is"),
    "a prefix with a space": ({"--redis-prefix": "a b"}, {}, "", "redis.prefix", "--redis-prefix", "1 to 64 letters"),
    "too many workers": ({}, {"CHATD_WORKERS": "257"}, "", "workers", "CHATD_WORKERS", "0 to 256, or auto"),
    "a UNIX socket with TLS": (
        {"--socket": "s", "--tls-key": "k", "--tls-certificate": "c"},
        {},
        "",
        "socket",
        "--socket",
        "leave out tls",
    ),
    "a UNIX socket for a try-out": ({"--socket": "s"}, {}, "", "socket", "--socket", "listens on a port"),
    "a UNIX socket with a long name": ({"--socket": "/" + "s" * 107}, {}, "", "socket", "--socket", "107 bytes"),
    "key without certificate": ({"--tls-key": "k"}, {}, "", "tls.key", "--tls-key", "tls.certificate"),
    "certificate without key": ({"--tls-certificate": "c"}, {}, "", "tls.certificate", "--tls-certificate", "tls.key"),
    "try-out for all to see": ({"--host": "::"}, {}, "", "host", "--host", "this machine only"),
    "tokens beside a try-out": ({"--tokens-issuer": "i"}, {}, "", "tokens.issuer", "--tokens-issuer", "leave this out"),
    "keys beside a try-out": (
        {},
        {"CHATD_ENCRYPTION_MASTER_KEYS": "a:1"},
        "",
        "encryption.master_keys",
        "CHATD_ENCRYPTION_MASTER_KEYS",
        "leave this out",
    ),
    "frame above message": (
        {"--limits-max-frame-bytes": "300000"},
        {},
        "",
        "limits.max_frame_bytes",
        "--limits-max-frame-bytes",
        "max_message_bytes, 262144",
    ),
    "buffers upside down": (
        {"--limits-output-buffer-bytes": "4096"},
        {},
        "",
        "limits.event_buffer_bytes",
        "not set",
        "output_buffer_bytes, 4096",
    ),
    "text above the frame": (
        {"--limits-max-text-chars": "90000"},
        {},
        "",
        "limits.max_text_chars",
        "--limits-max-text-chars",
        "max_frame_bytes is less",
    ),
    "body below the text": (
        {"--limits-max-body-bytes": "2048"},
        {},
        "",
        "limits.max_body_bytes",
        "--limits-max-body-bytes",
        "max_body_bytes is less",
    ),
    "a lease of one heartbeat": (
        {"--presence-heartbeat": "5", "--presence-lease": "9"},
        {},
        "",
        "presence.lease",
        "--presence-lease",
        "at least two heartbeats",
    ),
    "a lease beyond the promise": (
        {"--presence-lease": "15.5"},
        {},
        "",
        "presence.lease",
        "--presence-lease",
        "from 0.2 to 15",
    ),
    "silent where all are shown": (
        {"--presence-typing-silent-above": "50"},
        {},
        "",
        "presence.typing_silent_above",
        "--presence-typing-silent-above",
        "typing_damped_above, 100",
    ),
    "a rate that never gains": (
        {},
        {"CHATD_RATES_WRITE": "0/s burst 5"},
        "",
        "rates.write",
        "CHATD_RATES_WRITE",
        "must be a rate such as 100/s burst 500, or off, not '0/s burst 5'",
    ),
    "half a rate": ({}, {}, '[rates]\nread = "100/s"', "rates.read", "FILE:[rates]", "must be a rate such as"),
    "one port for two": ({"--metrics-port": "8443"}, {}, "", "metrics.port", "--metrics-port", "need another"),
}


@pytest.mark.parametrize("case", BAD)
def test_a_bad_setting_is_one_line_with_key_source_and_remedy(case: str, toml: Callable[[str], str]) -> None:
    flags, environ, file, key, source, remedy = BAD[case]
    path = toml(file)
    error = refusal({**DEV, "--config": path, **flags}, environ)
    assert (error.key, error.source) == (key, source.replace("FILE", path))
    assert remedy in str(error)
    assert len(str(error)) < 250 + len(path)


@pytest.mark.parametrize(
    ("environ", "key", "remedy"),
    [
        ({"CHATD_HOST": "0.0.0.0"}, "host", "tls.certificate and tls.key, or behind_proxy"),
        ({"CHATD_TOKENS_PEM_FILE": "key.pem"}, "tokens.pem_file", "tokens.jwks_file is set too"),
        ({"CHATD_TOKENS_JWKS_FILE": "/does/not/exist"}, "tokens.jwks_file", "No such file"),
        (
            {"CHATD_TOKENS_PEM_FILE": "key.pem", "CHATD_TOKENS_JWKS_FILE": "", "CHATD_TOKENS_HS256": "1"},
            "tokens.hs256",
            "a PEM file holds none",
        ),
        ({"CHATD_TOKENS_JWKS_URL": "https://a/k"}, "tokens.jwks_url", "tokens.jwks_file is set too"),
        ({"CHATD_TOKENS_DISCOVERY": "1"}, "tokens.discovery", "tokens.jwks_file is set too"),
        (
            {"CHATD_TOKENS_JWKS_FILE": "", "CHATD_TOKENS_JWKS_URL": "https://a/k", "CHATD_TOKENS_HS256": "1"},
            "tokens.hs256",
            "secrets, which nobody publishes",
        ),
        ({"CHATD_TOKENS_JWKS_FILE": "", "CHATD_TOKENS_JWKS_URL": "http://a/k"}, "tokens.jwks_url", "an https:// URL"),
        (
            {"CHATD_TOKENS_JWKS_FILE": "", "CHATD_TOKENS_DISCOVERY": "1", "CHATD_TOKENS_ISSUER": "chat"},
            "tokens.issuer",
            "must be a URL",
        ),
        ({"CHATD_LIMITS_MEMORY_BYTES": "1000000"}, "limits.memory_bytes", "0 for no bound"),
        ({"CHATD_TOKENS_CA_FILE": "/does/not/exist"}, "tokens.ca_file", "No such file"),
        ({"CHATD_TOKENS_ISSUERS_FILE": "/does/not/exist"}, "tokens.issuers_file", "No such file"),
        ({"CHATD_DATABASE_DSN_FILE": "dsn"}, "database.dsn", "database.dsn_file is set too (CHATD_DATABASE_DSN_FILE)"),
    ],
)
def test_a_combination_that_production_cannot_have_is_refused(
    environ: dict[str, str], key: str, remedy: str, environment: dict[str, str]
) -> None:
    error = refusal({}, {**environment, **environ})
    assert error.key == key
    assert remedy in str(error)


@pytest.mark.parametrize("host", ["127.0.0.1", "127.1.2.3", "::1", "localhost"])
def test_plain_text_stays_on_this_machine(host: str, environment: dict[str, str]) -> None:
    assert load({"--host": host}, environment).host == host


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.0.2.1", "::ffff:127.0.0.1"])
def test_elsewhere_it_takes_a_proxy_or_tls(host: str, environment: dict[str, str], tmp_path: Path) -> None:
    files = {"--tls-certificate": private(tmp_path / "c", "c"), "--tls-key": private(tmp_path / "k", "k")}
    assert refusal({"--host": host}, environment).key == "host"
    assert load({"--host": host, "--behind-proxy": True}, environment).behind_proxy
    assert load({"--host": host, **{flag: str(path) for flag, path in files.items()}}, environment).tls.given
