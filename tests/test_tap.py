"""``twistd chatd`` helps, starts, or says in one line why it does not."""

import os
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path

import pytest
from twisted.application.service import IService, IServiceMaker
from twisted.internet.selectreactor import SelectReactor
from twisted.plugin import getPlugins
from zope.interface.verify import verifyObject

from chatd import tap
from chatd.settings.model import Settings
from chatd.settings.reference import fields, sections

ROOT = Path(__file__).parent.parent
SECRET = "postgresql://chatd:hunter2@db/chatd"


def parse(*arguments: str, environ: Mapping[str, str] | None = None) -> Settings:
    options = tap.Options(environ or {})
    options.parseOptions(arguments)
    return options.settings


def refusal(*arguments: str) -> str:
    with pytest.raises(SystemExit) as caught:
        parse(*arguments)
    line = str(caught.value.code)
    assert len(line.splitlines()) == 1
    return line


def twistd(*arguments: str, **environ: str) -> subprocess.CompletedProcess[str]:
    """The real program, on this source."""
    return subprocess.run(
        [sys.executable, "-c", "from twisted.scripts.twistd import run; run()", "--nodaemon", "--pidfile=", *arguments],
        env={"PATH": os.environ["PATH"], "PYTHONPATH": str(ROOT), **environ},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def test_twisted_finds_the_plugin_by_its_name() -> None:
    makers = [maker for maker in getPlugins(IServiceMaker) if maker.tapname == "chatd"]
    assert [maker.options for maker in makers] == [tap.Options]
    assert makers[0].makeService is tap.makeService


def test_the_folder_of_plugins_stays_a_namespace_of_twisted() -> None:
    assert list((ROOT / "twisted").rglob("__init__.py")) == []


def test_flags_become_settings() -> None:
    settings = parse("--dev", "--port=0", "--limits-max-text-chars", "50", "--origins-allowed", "https://a,https://b")
    assert (settings.dev, settings.port, settings.limits.max_text_chars) == (True, 0, 50)
    assert settings.origins.allowed == ("https://a", "https://b")


def test_flags_beat_the_environment() -> None:
    environ = {"CHATD_PORT": "1", "CHATD_HOST": "127.0.0.2", "CHATD_STATE_DIR": "/somewhere"}
    settings = parse("--dev", "--port", "2", "--state-dir", "", environ=environ)
    assert (settings.port, settings.host, settings.state_dir) == (2, "127.0.0.2", "")


def test_a_file_is_named_by_a_flag(tmp_path: Path) -> None:
    (tmp_path / "chatd.toml").write_text("dev = true\nport = 3\n")
    assert parse("--config", str(tmp_path / "chatd.toml")).port == 3


@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        (["--prot", "1"], "chatd: --prot (command line): no such flag; did you mean --port?"),
        (["--por", "1"], "chatd: --por (command line): no such flag; did you mean --port?"),
        (["--port", "x"], "chatd: port (--port): must be a whole number from 0 to 65535, not 'x'"),
        (["--port"], "chatd: option --port requires argument"),
        (["--dev=1"], "chatd: option --dev must not have an argument"),
        (["-x"], "chatd: option -x not recognized"),
        (["--workers", "all"], "chatd: workers (--workers): must be a whole number from 0 to 256, or auto, not 'all'"),
        ([], "chatd: tokens.jwks_file (not set): "),
    ],
)
def test_a_bad_command_line_is_one_line(arguments: list[str], line: str) -> None:
    assert refusal(*arguments).startswith(line)


@pytest.mark.parametrize(
    "arguments", [["--database-dsn", SECRET], [f"--database-dsn={SECRET}"], [f"--database-ds={SECRET}"], [SECRET]]
)
def test_a_secret_on_the_command_line_is_refused_and_not_repeated(arguments: list[str]) -> None:
    line = refusal("--dev", *arguments)
    assert "hunter2" not in line


def test_the_remedy_for_a_secret_flag_is_its_variable_or_file() -> None:
    assert refusal("--database-dsn=x").endswith("use CHATD_DATABASE_DSN or --database-dsn-file")
    assert refusal("--encryption-master-keys=x").endswith(
        "use CHATD_ENCRYPTION_MASTER_KEYS or --encryption-master-keys-file"
    )


@pytest.mark.parametrize("width", [60, 80, 120])
def test_the_help_shows_every_setting_in_its_section_and_keeps_to_the_width(width: int) -> None:
    text = tap.Options({}).getUsage(width)
    for field in fields():
        assert f"\n  {field.flag or field.environment}" in text
    for about in sections().values():
        assert f"\n{about}\n" in text
    assert all(len(line) <= width for line in text.splitlines() if line.startswith("   " * 5))


def test_twistd_prints_the_help_and_shows_no_secret() -> None:
    ended = twistd("chatd", "--help", CHATD_DATABASE_DSN=SECRET)
    assert (ended.returncode, ended.stderr) == (0, "")
    assert "twistd --nodaemon chatd --dev" in ended.stdout
    assert "hunter2" not in ended.stdout


def test_twistd_ends_with_one_line_and_without_a_traceback() -> None:
    ended = twistd("chatd", "--dev", "--host", "0.0.0.0")
    assert ended.returncode == 1
    assert ended.stdout == ""
    assert ended.stderr.splitlines() == [
        "chatd: host (--host): a try-out (dev) listens on this machine only; leave it at 127.0.0.1"
    ]


def test_a_tac_file_reads_the_environment_and_ends_with_one_line_too() -> None:
    ended = twistd("--python", str(ROOT / "etc" / "chatd.tac"), CHATD_PORT="x")
    assert ended.returncode == 1
    assert ended.stderr.splitlines() == [
        "chatd: port (CHATD_PORT): must be a whole number from 0 to 65535, not 'x'",
    ]


def test_what_the_service_finds_wrong_is_one_line_too(tmp_path: Path) -> None:
    """Some files are looked into only when the service is made."""
    for name in ("certificate", "key"):
        (tmp_path / name).touch(0o600)
    flags = {"state-dir": "state", "tls-certificate": "certificate", "tls-key": "key"}
    ended = twistd("chatd", "--dev", *(f"--{flag}={tmp_path / name}" for flag, name in flags.items()))
    assert ended.returncode == 1
    assert ended.stderr.splitlines() == [
        f"chatd: tls.certificate ({tmp_path / 'certificate'}): holds no certificate in PEM"
    ]


@pytest.fixture
def reactor(monkeypatch: pytest.MonkeyPatch) -> SelectReactor:
    """One that nothing runs, in the place of the one that runs the tests."""
    reactor = SelectReactor()
    monkeypatch.setattr("twisted.internet.reactor", reactor)
    return reactor


def test_the_service_is_made_unstarted_on_a_clock_that_nobody_sets(reactor: SelectReactor, tmp_path: Path) -> None:
    options = tap.Options({})
    options.parseOptions(["--dev", "--state-dir", str(tmp_path)])
    service = tap.makeService(options)
    assert verifyObject(IService, service)
    assert not service.running
    assert reactor.seconds is time.monotonic
    assert reactor.getDelayedCalls() == []


def test_a_tac_file_makes_the_same_service(
    reactor: SelectReactor, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CHATD_DEV", "1")
    monkeypatch.setenv("CHATD_STATE_DIR", str(tmp_path))
    assert not tap.service_from_environment().running
    assert reactor.seconds is time.monotonic


def test_the_version_is_told(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        parse("--version")
    assert caught.value.code == 0
    assert capsys.readouterr().out.startswith("chatd")
