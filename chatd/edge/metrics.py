"""Figures for Prometheus, in a registry of their own.

Labels take only values that the program itself gives: names of commands and codes of outcomes, never a user or an id.
"""

from collections.abc import Callable, Iterable, Mapping

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram
from prometheus_client.exposition import CONTENT_TYPE_LATEST, generate_latest
from twisted.internet.interfaces import IReactorTime
from twisted.web.http import Request
from twisted.web.resource import Resource

from chatd.edge.operator import OperatorSite

OK = "ok"
SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0)


class Metrics:
    """What one worker counts. Each command is there from the start, so that its rate begins at 0.

    ``unreadable`` counts an entry that could not be opened.
    """

    def __init__(self, commands: Iterable[str]) -> None:
        self.registry = CollectorRegistry()
        self._commands = Counter("chatd_commands", "Commands by outcome.", ["command", "code"], registry=self.registry)
        seconds = Histogram(
            "chatd_command_seconds", "Time to answer a command.", ["command"], buckets=SECONDS, registry=self.registry
        )
        unreadable = Counter("chatd_unreadable_entries", "Entries that could not be opened.", registry=self.registry)
        self.unreadable: Callable[[], None] = unreadable.inc
        # Looked up once: labels() costs more than the counting.
        names = list(commands)
        self._seconds = {name: seconds.labels(name).observe for name in names}
        self._outcomes = {(name, OK): self._commands.labels(name, OK).inc for name in names}

    def observe(self, name: str, code: str, seconds: float) -> None:
        """A command has been answered, with ``ok`` or with the code of an error."""
        outcome = self._outcomes.get((name, code))
        if outcome is None:
            outcome = self._outcomes[name, code] = self._commands.labels(name, code).inc
        outcome()
        self._seconds[name](seconds)

    def gauge(self, name: str, help: str, value: Callable[[], float]) -> None:
        """Show as ``chatd_<name>`` what ``value`` says at the time of reading."""
        Gauge(f"chatd_{name}", help, registry=self.registry).set_function(value)

    def gauges(self, name: str, help: str, label: str, values: Mapping[str, Callable[[], float]]) -> None:
        """Show as ``chatd_<name>`` what each of ``values`` says, under ``label``."""
        gauge = Gauge(f"chatd_{name}", help, [label], registry=self.registry)
        for value, says in values.items():
            gauge.labels(value).set_function(says)

    def exposition(self) -> bytes:
        """All figures, in Prometheus' text format."""
        return generate_latest(self.registry)


class MetricsResource(Resource):
    """``/metrics``, on a port of its own that only the operator reaches: it asks for no token."""

    isLeaf = True

    def __init__(self, metrics: Metrics) -> None:
        super().__init__()  # type: ignore[no-untyped-call] # Twisted's
        self._metrics = metrics

    def render_GET(self, request: Request) -> bytes:
        """The figures, at whatever path they are asked for."""
        request.responseHeaders.setRawHeaders(b"Content-Type", [CONTENT_TYPE_LATEST.encode()])
        return self._metrics.exposition()


class MetricsSite(OperatorSite):
    """Serves the figures and nothing else."""

    def __init__(self, metrics: Metrics, reactor: IReactorTime) -> None:
        super().__init__(MetricsResource(metrics), reactor)
