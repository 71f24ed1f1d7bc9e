"""The workers' figures on one page, each with the label ``worker``, beside those of the workers themselves."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

from prometheus_client import CollectorRegistry
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.exposition import generate_latest
from prometheus_client.registry import Collector

from chatd.workers.control import Family, Sample


@dataclass(frozen=True, slots=True)
class WorkerState:
    """What the parent knows of a worker without asking it."""

    ready: bool
    restarts: int


def collected(registry: CollectorRegistry) -> tuple[Family, ...]:
    """All figures of a worker, to be sent to its parent."""
    return tuple(
        Family(
            metric.name,
            metric.documentation,
            metric.type,
            tuple(Sample(sample.name, dict(sample.labels), sample.value) for sample in metric.samples),
        )
        for metric in registry.collect()
    )


def exposition(workers: Mapping[int, WorkerState], figures: Mapping[int, tuple[Family, ...]]) -> bytes:
    """Everything in Prometheus' text format. ``figures`` has those of the workers that answered."""
    registry = CollectorRegistry()
    registry.register(_Page(workers, figures))
    return generate_latest(registry)


class _Page(Collector):
    """One family for all workers that have it, as the format demands."""

    def __init__(self, workers: Mapping[int, WorkerState], figures: Mapping[int, tuple[Family, ...]]) -> None:
        self._workers = workers
        self._figures = figures

    def collect(self) -> Iterator[Metric]:
        ready = GaugeMetricFamily("chatd_worker_ready", "Whether the worker can serve.", labels=["worker"])
        restarts = CounterMetricFamily("chatd_worker_restarts", "Starts after a failure.", labels=["worker"])
        for number, state in self._workers.items():
            ready.add_metric([str(number)], state.ready)
            restarts.add_metric([str(number)], state.restarts)
        yield ready
        yield restarts
        yield from _merged(self._figures)


def _merged(figures: Mapping[int, Iterable[Family]]) -> Iterator[Metric]:
    metrics: dict[str, Metric] = {}
    for number, families in figures.items():
        for family in families:
            metric = metrics.get(family.name)
            if metric is None:
                metric = metrics[family.name] = Metric(family.name, family.help, family.type)
            for sample in family.samples:
                metric.add_sample(sample.name, {"worker": str(number), **sample.labels}, sample.value)
    yield from metrics.values()
