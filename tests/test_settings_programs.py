"""Master keys that a program prints: as sound as those in a file, or the start is stopped with one line."""

import os
import shlex
import sys
from pathlib import Path

import pytest

from chatd.settings.base import SettingsError
from chatd.settings.programs import EXCERPT_CHARS, MAX_BYTES, printed_secret
from chatd.settings.sources import load
from tests.kit.settings import DEV, private, production, refusal
from tests.kit.waiting import wait_for

KEY = "encryption.master_keys_command"


def program(code: str) -> str:
    """The command line of a program in Python."""
    return shlex.join([sys.executable, "-S", "-c", code])


def problem(command: str, seconds: float = 30.0) -> str:
    with pytest.raises(SettingsError) as caught:
        printed_secret(KEY, "here", command, seconds)
    assert (caught.value.key, caught.value.source) == (KEY, "here")
    assert len(str(caught.value).splitlines()) == 1
    return str(caught.value)


@pytest.fixture
def environment(tmp_path: Path) -> dict[str, str]:
    environment = production(tmp_path)
    del environment["CHATD_ENCRYPTION_MASTER_KEYS"]
    return environment


def test_what_it_prints_are_the_master_keys(environment: dict[str, str]) -> None:
    command = program("print('a:1'); print('b:2')")
    assert (
        load({"--encryption-master-keys-command": command}, environment).encryption.master_keys.reveal() == "a:1\nb:2"
    )


def test_it_is_run_again_whenever_the_settings_are_read(environment: dict[str, str], tmp_path: Path) -> None:
    keys = tmp_path / "keys"
    environment["CHATD_ENCRYPTION_MASTER_KEYS_COMMAND"] = f"cat {keys}"
    for text in ("a:1", "b:2"):
        keys.write_text(text)
        assert load({}, environment).encryption.master_keys.reveal() == text


def test_no_shell_looks_at_it() -> None:
    command = program("import sys; print(sys.argv[1:])") + " '$HOME' ';' '*' \"a b\" `id`"
    assert printed_secret(KEY, "here", command).reveal() == "['$HOME', ';', '*', 'a b', '`id`']"


def test_it_has_nothing_to_read_and_the_environment_of_chatd(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KMS_ADDRESS", "https://kms.example.com")
    command = program("import os, sys; print(repr(sys.stdin.read()), os.environ['KMS_ADDRESS'])")
    assert printed_secret(KEY, "here", command).reveal() == "'' https://kms.example.com"


def test_it_stops_the_start_with_what_it_complains_of() -> None:
    failing = program(
        "import sys; print('secret'); print('no token:\\n  \\x1b[31mlog in', file=sys.stderr); sys.exit(3)"
    )
    told = problem(failing)
    assert told.endswith(f"{sys.executable} ended with exit code 3: no token: [31mlog in")
    assert "secret" not in told


def test_a_long_complaint_is_cut_short() -> None:
    told = problem(program(f"import sys; sys.stderr.write('x' * {10 * MAX_BYTES}); sys.exit(1)"))
    assert told.endswith("x" * EXCERPT_CHARS + "...")
    assert "x" * (EXCERPT_CHARS + 1) not in told


@pytest.mark.parametrize(
    ("code", "told"),
    [
        ("import sys; sys.exit(2)", "ended with exit code 2: it does not say why"),
        ("import os; os.kill(os.getpid(), 9)", "was ended by signal 9: it does not say why"),
        ("print('  ')", "printed nothing"),
        ("import sys; sys.stdout.buffer.write(b'\\xff')", "printed what is not text in UTF-8"),
        (f"print('x' * {MAX_BYTES + 1})", f"printed more than {MAX_BYTES} bytes"),
        ("while True: print('x' * 1000)", f"printed more than {MAX_BYTES} bytes"),
    ],
)
def test_what_gives_no_keys_stops_the_start(code: str, told: str) -> None:
    assert problem(program(code)).endswith(told)


@pytest.mark.parametrize(
    ("command", "told"),
    [
        ("/nowhere/to-be-found", "/nowhere/to-be-found cannot be run: No such file or directory"),
        ("/etc/passwd", "/etc/passwd cannot be run: Permission denied"),
        ("'", "cannot be split into words: No closing quotation"),
        (" ", "names no program"),
    ],
)
def test_what_cannot_be_run_stops_the_start(command: str, told: str) -> None:
    assert problem(command).endswith(told)


HANGING = "import os, sys, time; open(sys.argv[1], 'w').write(str(os.getpid())); time.sleep(1000)"
LEAVING_A_CHILD = "import os, sys\nif os.fork() == 0:\n    " + HANGING.replace("; ", "\n    ")
CLOSING = "import os, time; os.close(1); os.close(2); time.sleep(1000)"


@pytest.mark.parametrize("code", [HANGING, LEAVING_A_CHILD], ids=["itself", "what it started"])
def test_one_that_hangs_is_ended_and_so_is_what_it_started(code: str, tmp_path: Path) -> None:
    noted = tmp_path / "pid"
    assert problem(f"{program(code)} {noted}", 1.0).endswith("did not end within 1 seconds")
    pid = int(noted.read_text())
    wait_for(lambda: not Path(f"/proc/{pid}/cmdline").exists() or not Path(f"/proc/{pid}/cmdline").read_bytes())


def test_one_that_closes_its_output_and_hangs_is_ended() -> None:
    assert problem(program(CLOSING), 0.5).endswith("did not end within 0.5 seconds")


def test_no_descriptor_of_chatds_is_handed_to_it(tmp_path: Path) -> None:
    with (tmp_path / "file").open("w") as file:
        os.set_inheritable(file.fileno(), True)
        listing = program("import os; print(sorted(map(int, os.listdir('/proc/self/fd'))))")
        # Beyond its three there is but the folder itself.
        assert printed_secret(KEY, "here", listing).reveal() == "[0, 1, 2, 3]"


@pytest.mark.parametrize("other", ["CHATD_ENCRYPTION_MASTER_KEYS", "CHATD_ENCRYPTION_MASTER_KEYS_FILE"])
def test_only_one_source_of_master_keys_may_be_named(other: str, environment: dict[str, str], tmp_path: Path) -> None:
    environment[other] = str(private(tmp_path / "keys", "a:1"))
    error = refusal({"--encryption-master-keys-command": program("print('a:1')")}, environment)
    assert error.key == KEY
    assert "is set too" in str(error)


def test_a_try_out_makes_its_own() -> None:
    error = refusal({**DEV, "--encryption-master-keys-command": program("print('a:1')")}, {})
    assert error.key == KEY


def test_a_program_counts_before_the_credential_of_systemd(environment: dict[str, str], tmp_path: Path) -> None:
    private(tmp_path / "chatd-master-keys", "systemd:1")
    environ = {**environment, "CREDENTIALS_DIRECTORY": str(tmp_path)}
    flags = {"--encryption-master-keys-command": program("print('a:1')")}
    assert load(flags, environ).encryption.master_keys.reveal() == "a:1"
