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
        return Echo.started(self.new_folder())

    @contextmanager
    def chatd(self, workers: int = 0, *, more: str = "") -> Iterator[tuple[Chatd, str]]:
        """chatd on a new database, for a block; and the database's connection string. 0 workers are one process.

        ``more`` is added to its configuration.
        """
        dsn = self._cluster.create_database()
        with Chatd.started(self.new_folder(), dsn, self._cluster.pid, workers, more=more) as chatd:
            yield chatd, dsn

    def chatd_beside(self, other: Chatd, dsn: str, more: str) -> AbstractContextManager[Chatd]:
        """Another one of the same installation, for a block."""
        return Chatd.started(self.new_folder(), dsn, self._cluster.pid, more=more, beside=other)

    def say(self, text: str) -> None:
        """A line of progress."""
        print(f"bench: {text}", file=sys.stderr, flush=True)

    def new_folder(self) -> Path:
        """A folder for something's files."""
        folder = self._folder / f"server-{next(self._numbers)}"
        folder.mkdir(mode=0o700)
        return folder
