"""The commands over HTTP, held to their published description by Schemathesis, which knows nothing else of chatd."""

import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.kit.people import Person
from tests.kit.server import Sections, Server

EXAMPLES = 4

REVOKING = ("device.end", "device.end_others", "token.revoke")
"""They revoke the token that asks, and have a run of their own: nothing that came later would be let in."""

BEYOND_THE_SCHEMA = "positive_data_acceptance"
"""Left out: what a schema allows may still be ``invalid``, for instance both ``to`` and ``conversation``."""

WITHIN_S = 300

REAL = """\
[parameters]
"path.conversation" = "{kept}"

[[operations]]
include-operation-id = "group.delete"
parameters = {{ "path.conversation" = "{deleted}" }}
"""
"""A configuration that names conversations that are there. It would also replace those that are meant to be wrong."""

Run = Callable[..., str]


@pytest.fixture(scope="module")
def settings() -> Sections:
    return {"search": {"enabled": True}}


@pytest.fixture
def groups(alice: Person, bob: Person) -> dict[str, str]:
    """Two groups of alice's and bob's, in each of which something was said."""
    http, found = alice.http(), {}
    for name in ("kept", "deleted"):
        found[name] = http.post("/v1/groups", client_id=name, title=name, members=[bob.name]).body["conversation"]
        assert http.post("/v1/messages", client_id=f"in-{name}", conversation=found[name], text="hi").status == 200
    return found


@pytest.fixture
def run(server: Server, alice: Person, tmp_path: Path) -> Run:
    """Runs Schemathesis as alice, and gives what it says; fails where it finds fault. Its files go into a folder."""

    def run(*options: str, configuration: str = "") -> str:
        file = tmp_path / "schemathesis.toml"
        file.write_text(configuration)
        arguments = [
            f"--config-file={file}",
            "run",
            f"{server.http_url}/v1/openapi.json",
            f"--header=Authorization: Bearer {alice.token()}",
            f"--max-examples={EXAMPLES}",
            f"--exclude-checks={BEYOND_THE_SCHEMA}",
            "--generation-deterministic",
            "--no-color",
            *options,
        ]
        done = subprocess.run(
            [sys.executable, "-m", "schemathesis.cli", *arguments],
            cwd=tmp_path,
            capture_output=True,
            text=True,
            timeout=WITHIN_S,
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    return run


def generated(report: str) -> int:
    """How many requests were made, all of which were answered as they should be."""
    found = re.search(r"(\d+) generated, (\d+) passed", report)
    assert found is not None, report
    return int(found[2])


@pytest.mark.slow
def test_what_the_document_does_not_allow_is_refused_as_it_says(run: Run) -> None:
    """Each field wrong in every way that its schema knows: no 5xx, and the status, headers and body that it names."""
    report = run("--phases=coverage", *(f"--exclude-operation-id={name}" for name in REVOKING))
    assert "Authentication failed" not in report
    assert generated(report) > 1000


@pytest.mark.slow
def test_what_the_document_allows_is_answered_as_it_says(run: Run, groups: dict[str, str]) -> None:
    """Examples and what is made up, about a group that is there: the status, content type and body that it names."""
    options = ("--phases=examples,fuzzing", "--mode=positive")
    report = run(
        *options, *(f"--exclude-operation-id={name}" for name in REVOKING), configuration=REAL.format(**groups)
    )
    assert "Authentication failed" not in report
    assert generated(report) > 200


@pytest.mark.slow
@pytest.mark.parametrize("name", REVOKING)
def test_so_are_those_that_revoke_tokens(name: str, run: Run) -> None:
    assert generated(run(f"--include-operation-id={name}", "--phases=examples,coverage")) > 2
