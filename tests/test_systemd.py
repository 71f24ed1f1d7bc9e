"""The units in ``systemd/`` are sound, and leave chatd no more rights than it needs."""

import re
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from chatd.settings.model import Timeouts
from chatd.settings.secrets import CREDENTIAL
from chatd.workers.run import DRAIN_EXTRA_S, SILENT_TICKS, TICK_S

UNITS = Path(__file__).parent.parent / "systemd"
SERVICE = (UNITS / "chatd.service").read_text()
MOST_EXPOSED = 1.5

needs_systemd = pytest.mark.skipif(
    shutil.which("systemd-analyze") is None,
    reason="systemd-analyze is not installed: it is what checks units (Debian's package systemd)",
)


def setting(name: str) -> str:
    (value,) = re.findall(rf"^{name}=(.*)$", SERVICE, re.MULTILINE)
    return str(value)


@pytest.fixture
def analyze(tmp_path: Path) -> Callable[..., subprocess.CompletedProcess[str]]:
    """Runs systemd-analyze on the units, as they would be if chatd were installed."""
    for unit in UNITS.iterdir():
        (tmp_path / unit.name).write_text(unit.read_text().replace("/opt/chatd/bin/twistd", "/bin/true"))

    def run(*arguments: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            ["systemd-analyze", *arguments], cwd=tmp_path, capture_output=True, text=True, check=False, timeout=60
        )

    return run


@needs_systemd
def test_the_units_are_sound(analyze: Callable[..., subprocess.CompletedProcess[str]]) -> None:
    verified = analyze("verify", "./chatd.service", "./chatd.socket")
    assert (verified.returncode, verified.stdout, verified.stderr) == (0, "", "")


@needs_systemd
def test_the_service_is_little_exposed(analyze: Callable[..., subprocess.CompletedProcess[str]]) -> None:
    judged = analyze("security", "--offline=true", "./chatd.service")
    exposure = re.search(r"Overall exposure level for chatd.service: ([\d.]+)", judged.stdout)
    assert exposure is not None, judged
    assert float(exposure[1]) <= MOST_EXPOSED


def test_what_the_callbacks_of_pyopenssl_need_is_not_taken_away() -> None:
    assert not re.search(r"^MemoryDenyWriteExecute=", SERVICE, re.MULTILINE)


def test_its_times_fit_to_those_of_chatd() -> None:
    assert int(setting("TimeoutStopSec")) > Timeouts().drain + DRAIN_EXTRA_S
    assert int(setting("WatchdogSec")) > 2 * SILENT_TICKS * TICK_S


def test_the_master_keys_have_the_name_that_chatd_looks_for() -> None:
    assert f"LoadCredential={CREDENTIAL}:" in SERVICE
