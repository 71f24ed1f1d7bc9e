"""What a scenario finds when it begins: options, a database, and the means to start either side."""

import itertools
import sys
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

from bench.options import Options
from bench.servers import Chatd, Echo
from tests.kit.postgres import Cluster


class Stage:
    """Servers' files lie in ``folder``, each server's in one of its own."""

    def __init__(self, options: Options, cluster: Cluster, folder: Path) -> None:
        self.options = options
        self._cluster = cluster
        self._folder = folder
        self._numbers = itertools.count(1)

    @property
    def rounds(self) -> range:
        """The rounds, counted from 1."""
        return range(1, self.options.rounds + 1)

    def measures(self, side: str) -> bool:
        """Whether this side is asked for."""
        return side in self.options.sides

    def echo(self) -> AbstractContextManager[Echo]:
        """Bare Autobahn, for a block."""
        return Echo.started(self._new_folder())

    @contextmanager
    def chatd(self, workers: int = 0, *, redis: str = "") -> Iterator[tuple[Chatd, str]]:
        """chatd on a new database, for a block; and the database's connection string. 0 workers are one process.

        ``redis`` is the URL of what carries the bus; PostgreSQL does otherwise.
        """
        dsn = self._cluster.create_database()
        with Chatd.started(self._new_folder(), dsn, self._cluster.pid, workers, redis) as chatd:
            yield chatd, dsn

    def say(self, text: str) -> None:
        """A line of progress."""
        print(f"bench: {text}", file=sys.stderr, flush=True)

    def _new_folder(self) -> Path:
        folder = self._folder / f"server-{next(self._numbers)}"
        folder.mkdir(mode=0o700)
        return folder
