"""``python -m tests.audit``: hold what is installed against published vulnerabilities, by pip-audit.

pip-audit calls it a success where it could look up nothing at all. Here what was not looked up is not called clean: it
is counted and said so. The exit code is 1 where a vulnerability is known, and 0 otherwise, since nobody is to be kept
from working who is offline. Options are passed on to pip-audit, ``--vulnerability-service=osv`` for instance.
"""

import importlib.util
import subprocess
import sys
from collections.abc import Callable, Sequence
from importlib.metadata import version
from tempfile import NamedTemporaryFile

import msgspec

PROBE = "twisted"
"""It is asked about first: where nothing is known of it, the other hundred questions are in vain."""

WITHIN_S = 300.0

MISUSED = 2
"""pip-audit's exit code where it does not understand an option."""

COMMAND = (sys.executable, "-m", "pip_audit", "--format=json", "--progress-spinner=off")

Run = Callable[[Sequence[str]], str]


class Vulnerability(msgspec.Struct, frozen=True):
    """As far as it is told here."""

    id: str
    fix_versions: list[str] = []


class Dependency(msgspec.Struct, frozen=True):
    """A package, and why it was not looked up, if it was not."""

    name: str
    version: str = ""
    vulns: list[Vulnerability] = []
    skip_reason: str = ""


class Report(msgspec.Struct, frozen=True):
    """What pip-audit says."""

    dependencies: list[Dependency]


class Unanswered(Exception):
    """There is no report; the text says why."""


def pip_audit(options: Sequence[str]) -> str:
    """What pip-audit writes; raises Unanswered."""
    if importlib.util.find_spec("pip_audit") is None:
        raise Unanswered("pip-audit is not installed")
    try:
        done = subprocess.run([*COMMAND, *options], capture_output=True, text=True, timeout=WITHIN_S, check=False)
    except subprocess.TimeoutExpired:
        raise Unanswered(f"there was no answer within {WITHIN_S:.0f} seconds") from None
    if done.returncode == MISUSED:
        sys.exit(done.stderr.strip())
    if not done.stdout.strip():
        raise Unanswered((done.stderr.strip().splitlines() or ["pip-audit said nothing"])[-1])
    return done.stdout


def main(options: Sequence[str], run: Run = pip_audit, say: Callable[[str], None] = print) -> int:
    """Audit and tell; the exit code."""
    try:
        with NamedTemporaryFile("w", suffix=".txt") as probe:
            probe.write(f"{PROBE}=={version(PROBE)}\n")
            probe.flush()
            first = _read(run(["--requirement", probe.name, "--no-deps", "--disable-pip", *options]))
        if all(one.skip_reason for one in first.dependencies):
            raise Unanswered(next(one.skip_reason for one in first.dependencies))
        report = _read(run(["--skip-editable", *options]))
    except Unanswered as why:
        say(f"audit: NOT AUDITED, known vulnerabilities could not be had: {why}")
        return 0
    return _tell(report, say)


def _read(text: str) -> Report:
    try:
        report = msgspec.json.decode(text, type=Report)
    except msgspec.DecodeError as error:
        raise Unanswered(f"pip-audit wrote no report: {error}") from None
    if not report.dependencies:
        raise Unanswered("pip-audit looked at nothing")
    return report


def _tell(report: Report, say: Callable[[str], None]) -> int:
    audited = [one for one in report.dependencies if not one.skip_reason]
    for one in report.dependencies:
        if one.skip_reason:
            say(f"audit: NOT AUDITED {one.name}: {one.skip_reason}")
        for found in one.vulns:
            mended = f", mended in {', '.join(found.fix_versions)}" if found.fix_versions else ""
            say(f"audit: {one.name} {one.version} has {found.id}{mended}")
    vulnerable = sum(bool(one.vulns) for one in audited)
    known = f"{vulnerable} with known vulnerabilities" if vulnerable else "no known vulnerabilities"
    say(f"audit: {len(audited)} packages audited, {len(report.dependencies) - len(audited)} not; {known}")
    return 1 if vulnerable else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
