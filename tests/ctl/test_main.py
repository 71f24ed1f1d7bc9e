"""The command line of chatctl: what is wrong is told in one line, and changes nothing."""

import io
import re
import sys
from pathlib import Path

import pytest

from chatd.ctl.main import main
from chatd.security.keyring import MasterKeys
from tests.kit.settings import PASSWORD, private, production


@pytest.fixture
def environment(tmp_path: Path) -> dict[str, str]:
    """All that is needed, with a database that is not there."""
    keys = MasterKeys.generate_line("1")
    return {
        **production(tmp_path),
        "CHATD_ENCRYPTION_MASTER_KEYS": keys,
        "CHATD_DATABASE_DSN": f"host={tmp_path} dbname=chatd password={PASSWORD}",
    }


def refused(capsys: pytest.CaptureFixture[str], environment: dict[str, str], *arguments: str) -> str:
    """The line that it ends with, with exit code 2."""
    try:
        code = main(arguments, environment)
    except SystemExit as end:
        code = int(end.code or 0)
    out, err = capsys.readouterr()
    assert (code, out) == (2, "")
    assert len(err.splitlines()) == 1
    return err


def test_a_new_master_key_is_printed_without_any_settings(capsys: pytest.CaptureFixture[str]) -> None:
    printed = []
    for version in ([], ["spring"], ["spring"]):
        assert main(["keys", "generate", *version], {}) == 0
        out, err = capsys.readouterr()
        assert err == ""
        MasterKeys.parse(out)
        printed.append(out)
    assert re.match(r"\d{4}-\d{2}-\d{2}:", printed[0])
    assert printed[1].startswith("spring:")
    assert printed[1] != printed[2]


def test_an_unfit_version_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    assert "letters, digits and ._-" in refused(capsys, {}, "keys", "generate", "a b")


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        ([], "the following arguments are required: COMMAND; see chatctl --help"),
        (["keys"], "the following arguments are required: ACTION; see chatctl keys --help"),
        (["keys", "shred"], "the following arguments are required: USER; see chatctl keys shred --help"),
        (["keys", "turn"], "invalid choice: 'turn'"),
        (["keys", "status", "more"], "unrecognized arguments: more"),
        (["keys", "status", "--tls-cert=x"], "no such flag; did you mean --tls-certificate?"),
        (["keys", "shred", "bob", "--y"], "no such flag"),
        (["keys", "status", f"--database-dsn={PASSWORD}"], "a secret is never a flag"),
        (["keys", "status", "--database-pool-size=many"], "must be a whole number"),
        (["--config=/nowhere", "keys", "status"], "cannot be read: No such file"),
        (["keys", "status", "--config=/nowhere"], "cannot be read: No such file"),
        (["keys", "shred", "bob"], "--yes (command line): is needed where there is no terminal to ask on"),
        (["keys", "shred", "", "--yes"], "must be a user id, which is not empty"),
    ],
)
def test_what_is_asked_wrongly_is_refused_in_one_line(
    arguments: list[str],
    told: str,
    environment: dict[str, str],
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(sys, "stdin", io.StringIO())
    error = refused(capsys, environment, *arguments)
    assert told in error
    assert PASSWORD not in error


def test_settings_are_those_of_chatd_from_file_environment_and_flags(
    environment: dict[str, str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    keys = private(tmp_path / "keys", "not a key")
    del environment["CHATD_ENCRYPTION_MASTER_KEYS"]
    ways = [
        ([f"--encryption-master-keys-file={keys}", "keys", "status"], {}),
        (["keys", "status", "--encryption-master-keys-file", str(keys)], {}),
        (["keys", "status"], {"CHATD_ENCRYPTION_MASTER_KEYS_FILE": str(keys)}),
        (["keys", "status"], {"CHATD_CONFIG": str(tmp_path / "chatd.toml")}),
        ([f"--config={tmp_path / 'chatd.toml'}", "keys", "status"], {}),
    ]
    private(tmp_path / "chatd.toml", f'[encryption]\nmaster_keys_file = "{keys}"\n')
    for arguments, more in ways:
        assert "encryption.master_keys (the master keys): line 1 must be" in refused(
            capsys, environment | more, *arguments
        )


def test_a_try_out_is_not_operated(environment: dict[str, str], capsys: pytest.CaptureFixture[str]) -> None:
    assert "a try-out has no operator" in refused(capsys, {}, "keys", "status", "--dev")


class Typed(io.StringIO):
    """A terminal on which this is typed."""

    def isatty(self) -> bool:
        return True


@pytest.mark.parametrize("typed", ["\n", "y\n", "Bob\n", ""])
def test_on_a_terminal_the_user_id_is_asked_for_once_more(
    typed: str, environment: dict[str, str], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "stdin", Typed(typed))
    assert main(["keys", "shred", "bob"], environment) == 1
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith("All that 'bob' has written will be unreadable, for everybody and for good.\n")
    assert err.endswith("chatctl: that was another user id: nothing was destroyed\n")


def test_a_user_id_that_looks_like_a_flag_is_named_behind_two_hyphens(
    environment: dict[str, str], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert "no such flag" in refused(capsys, environment, "keys", "shred", "--odd")
    monkeypatch.setattr(sys, "stdin", Typed("\n"))
    assert main(["keys", "shred", "--", "--odd"], environment) == 1
    assert "All that '--odd' has written" in capsys.readouterr().err


class Interrupted(Typed):
    """A terminal on which Ctrl-C is typed."""

    def readline(self, size: int | None = -1, /) -> str:
        raise KeyboardInterrupt


def test_an_interrupt_instead_of_an_answer_destroys_nothing(
    environment: dict[str, str], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "stdin", Interrupted())
    assert main(["keys", "shred", "bob"], environment) == 1
    assert capsys.readouterr().err.endswith("chatctl: interrupted; nothing was done\n")


@pytest.mark.parametrize("arguments", [["--help"], ["keys", "--help"], ["keys", "shred", "--help"]])
def test_the_help_says_what_the_exit_codes_mean(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as end:
        main(arguments, {})
    assert end.value.code == 0
    help = capsys.readouterr().out
    assert "Exit codes:" in help
    assert "--config PATH" in help
    assert "--limits-" not in help


def test_the_version_is_that_of_chatd(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as end:
        main(["--version"], {})
    assert end.value.code == 0
    assert capsys.readouterr().out.startswith("chatd")
