"""What is installed is called free of known vulnerabilities only where that was looked up."""

import json
from collections.abc import Sequence

import pytest

from tests import audit
from tests.audit import Unanswered

SKIPPED = {"name": "twisted", "skip_reason": "Dependency not found on PyPI and could not be audited: twisted (26.4)"}
CLEAN = {"name": "twisted", "version": "26.4.0", "vulns": []}
HOLED = {
    "name": "jinja2",
    "version": "3.1.2",
    "vulns": [{"id": "PYSEC-1", "fix_versions": ["99.0"], "aliases": ["CVE-1"], "description": "a hole"}],
}


def audited(*reports: Sequence[object] | str | Unanswered) -> tuple[int, list[str], list[list[str]]]:
    """The exit code, what was said, and what pip-audit was asked, which answers with these."""
    said: list[str] = []
    asked: list[list[str]] = []
    waiting = list(reports)

    def run(options: Sequence[str]) -> str:
        asked.append([*options])
        answer = waiting.pop(0)
        if isinstance(answer, Unanswered):
            raise answer
        return answer if isinstance(answer, str) else json.dumps({"dependencies": answer, "fixes": []})

    return audit.main(["--vulnerability-service=osv"], run, said.append), said, asked


def test_what_was_looked_up_and_has_no_holes_is_said_so() -> None:
    code, said, asked = audited([CLEAN], [CLEAN, {"name": "msgspec", "version": "0.19.0", "vulns": []}])
    assert (code, said) == (0, ["audit: 2 packages audited, 0 not; no known vulnerabilities"])
    assert all("--vulnerability-service=osv" in options for options in asked)


def test_a_known_hole_fails_and_tells_where_it_is_mended() -> None:
    code, said, _ = audited([CLEAN], [CLEAN, HOLED, SKIPPED])
    assert code == 1
    assert "audit: jinja2 3.1.2 has PYSEC-1, mended in 99.0" in said
    assert said[-1] == "audit: 2 packages audited, 1 not; 1 with known vulnerabilities"


def test_what_was_passed_over_is_named() -> None:
    code, said, _ = audited([CLEAN], [CLEAN, {**SKIPPED, "name": "chatd"}])
    assert (code, said[0].startswith("audit: NOT AUDITED chatd: ")) == (0, True)


@pytest.mark.parametrize(
    "answers",
    [
        [[SKIPPED]],
        [[]],
        ["<html>"],
        [Unanswered("no route to host")],
        [[CLEAN], Unanswered("no route to host")],
        [[CLEAN], "{}"],
        [[CLEAN], []],
    ],
)
def test_what_could_not_be_looked_up_is_never_called_clean(answers: list[object]) -> None:
    """pip-audit itself would: it says "No known vulnerabilities found" where it has looked nothing up."""
    code, said, asked = audited(*answers)
    assert (code, len(asked)) == (0, len(answers))
    assert said[-1].startswith("audit: NOT AUDITED, known vulnerabilities could not be had: ")
    assert "no known vulnerabilities" not in "".join(said)
