"""``python -m tests.fuzz``, from the project's folder: attack a server with bytes for as long as one likes.

It starts a server and a PostgreSQL of its own. Rounds have seeds; a finding is written to a file, as small as
hypothesis can make it, which ``--replay`` sends once more. The exit code is 1 where something was found.
"""

import argparse
import random
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager
from hashlib import sha256
from pathlib import Path

from hypothesis import HealthCheck, Phase, given, seed, settings

from tests.kit.fuzzing import SETTINGS, Attack, Finding, Target, attacks
from tests.kit.postgres import Cluster
from tests.kit.server import Server
from tests.kit.tokens import AuthService

ROUND = 500
"""Attacks between two lines of progress."""


def main(arguments: Sequence[str]) -> int:
    """Attack, and tell what came of it; the exit code."""
    options = _parser().parse_args(arguments)
    with _target() as target:
        if options.replay is not None:
            return _replay(target, options.replay)
        return _attack(target, options.seconds, options.seed, options.findings)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz", description="Attack a server of its own with bytes.")
    parser.add_argument("--seconds", type=float, default=60.0, help="for how long (%(default)s)")
    parser.add_argument("--seed", type=int, default=random.SystemRandom().randrange(2**32), help="of the first round")
    parser.add_argument("--findings", type=Path, default=Path("findings"), help="folder for findings (%(default)s)")
    parser.add_argument("--replay", type=Path, help="file of a finding to send once more")
    return parser


@contextmanager
def _target() -> Iterator[Target]:
    auth = AuthService()
    with tempfile.TemporaryDirectory(prefix="chatd-fuzz-") as folder, Cluster.start_new() as cluster:
        server = Server(Path(folder), cluster.create_database(), auth, SETTINGS)
        try:
            with closing(Target(server.start(), auth)) as target:
                yield target
        finally:
            server.close()


def _replay(target: Target, file: Path) -> int:
    try:
        target.hold(Attack.read(file.read_text()))
    except Finding as finding:
        print(f"found again: {finding.what}")
        return 1
    print("the server stands it")
    return 0


def _attack(target: Target, seconds: float, first: int, findings: Path) -> int:
    began, attacked = time.monotonic(), 0
    number = first
    while (elapsed := time.monotonic() - began) < seconds:
        print(f"{elapsed:6.0f} s  {attacked:8d} attacks  seed {number}", flush=True)
        try:
            attacked += _round(target, number)
        except Finding as finding:
            return _tell(finding, number, findings)
        number += 1
    print(f"{elapsed:6.0f} s  {attacked:8d} attacks  nothing found")
    return 0


def _round(target: Target, number: int) -> int:
    """How many attacks were made; raises the smallest Finding."""
    made = 0

    def hold(attack: Attack) -> None:
        nonlocal made
        made += 1
        target.hold(attack)

    run: Callable[[], None] = given(attacks(target.token))(hold)
    seed(number)(
        settings(
            max_examples=ROUND,
            database=None,
            deadline=None,
            phases=(Phase.generate, Phase.shrink),
            report_multiple_bugs=False,
            suppress_health_check=list(HealthCheck),
        )(run)
    )()
    return made


def _tell(finding: Finding, number: int, findings: Path) -> int:
    findings.mkdir(parents=True, exist_ok=True)
    text = str(finding.attack)
    file = findings / f"{sha256(text.encode()).hexdigest()[:12]}.json"
    file.write_text(text + "\n")
    print(f"found with seed {number}: {finding.what}")
    print(f"see it again with: python -m tests.fuzz --replay {file}")
    return 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
