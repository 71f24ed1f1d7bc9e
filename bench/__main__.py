"""``python -m bench``, from the project's folder; ``--help`` tells the rest."""

import gc
import resource
import sys
import tempfile
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path

from bench import across, cached, catchup, connects, direct, fanout, groups, history, memory, spread
from bench.database import check_durable
from bench.errors import BenchError
from bench.findings import Findings
from bench.machine import facts
from bench.options import Options, parse
from bench.report import table, write
from bench.spawning import PROJECT
from bench.stage import Stage
from chatd.workers.postgres_binaries import EmbeddedPostgresError
from tests.kit.postgres import Cluster

RESULTS = PROJECT / "bench" / "results"
_SCENARIOS: Mapping[str, Callable[[Stage], Findings]] = {
    "direct": direct.run,
    "connect": connects.run,
    "memory": memory.run,
    "catchup": catchup.run,
    "spread": spread.run,
    "across": across.run,
    "fanout": fanout.run,
    "history": history.run,
    "groups": groups.run,
    "cache": cached.run,
}


def main(arguments: Sequence[str]) -> int:
    """Measure, print and save; the exit code."""
    options = parse(arguments)
    _allow_many_descriptors()
    try:
        with (
            tempfile.TemporaryDirectory(prefix="chatd-bench-") as folder,
            Cluster.start_new(options.folder, durable=True) as cluster,
        ):
            _measure(options, cluster, Path(folder))
    except (BenchError, EmbeddedPostgresError) as error:
        print(f"bench: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130
    return 0


def _measure(options: Options, cluster: Cluster, folder: Path) -> None:
    postgres = check_durable(cluster.dsn())
    about = {**facts(Path(postgres.pop("data_directory")).parent, PROJECT), "postgresql": postgres}
    stage = Stage(options, cluster, folder)
    gc.freeze()
    findings = [_SCENARIOS[name](stage) for name in options.only]
    path = write(RESULTS, datetime.now(UTC), options, about, findings)
    print(table(findings, about))
    stage.say(f"all figures are in {path.relative_to(PROJECT)}")


def _allow_many_descriptors() -> None:
    """As many as we may; the servers inherit it."""
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
