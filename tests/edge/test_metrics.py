"""What Prometheus reads."""

from twisted.internet.task import Clock
from twisted.internet.testing import StringTransport

from chatd.edge.metrics import Metrics, MetricsSite
from tests.kit.visitor import parsed


def figures(metrics: Metrics) -> dict[str, float]:
    lines = metrics.exposition().decode().splitlines()
    return {name: float(value) for name, _, value in (line.rpartition(" ") for line in lines if line[0] != "#")}


def test_commands_are_counted_by_outcome_and_timed() -> None:
    metrics = Metrics(["ping", "ack"])
    metrics.observe("ping", "ok", 0.002)
    metrics.observe("ping", "ok", 0.2)
    metrics.observe("ping", "overloaded", 0.0)
    seen = figures(metrics)
    assert seen['chatd_commands_total{code="ok",command="ping"}'] == 2
    assert seen['chatd_commands_total{code="overloaded",command="ping"}'] == 1
    assert seen['chatd_command_seconds_count{command="ping"}'] == 3
    assert seen['chatd_command_seconds_bucket{command="ping",le="0.0025"}'] == 2


def test_a_command_that_nobody_has_used_is_there_with_nothing() -> None:
    assert figures(Metrics(["ack"]))['chatd_commands_total{code="ok",command="ack"}'] == 0


def test_what_others_count_is_read_when_it_is_asked_for() -> None:
    metrics, connections = Metrics([]), [1, 2]
    metrics.gauge("connections", "Open connections.", lambda: len(connections))
    assert figures(metrics)["chatd_connections"] == 2
    connections.clear()
    assert figures(metrics)["chatd_connections"] == 0


def test_figures_of_one_kind_stand_under_one_name() -> None:
    metrics, refused = Metrics([]), {"write": 0, "read": 2}
    metrics.gauges("rate_limited", "Refused.", "limit", {name: lambda name=name: refused[name] for name in refused})
    refused["write"] = 7
    seen = figures(metrics)
    assert (seen['chatd_rate_limited{limit="write"}'], seen['chatd_rate_limited{limit="read"}']) == (7, 2)


def test_unreadable_entries_are_counted() -> None:
    metrics = Metrics([])
    metrics.unreadable()
    assert figures(metrics)["chatd_unreadable_entries_total"] == 1


def test_workers_of_one_process_do_not_share_figures() -> None:
    one, other = Metrics(["ping"]), Metrics(["ping"])
    one.observe("ping", "ok", 0.1)
    assert figures(other)['chatd_commands_total{code="ok",command="ping"}'] == 0


def test_it_is_read_over_http_without_naming_the_software() -> None:
    transport = StringTransport()
    channel = MetricsSite(Metrics(["ping"]), Clock()).buildProtocol(None)
    channel.makeConnection(transport)
    channel.dataReceived(b"GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n")
    answer, _ = parsed(transport.value())
    assert (answer.status, answer.headers["Server"]) == (200, None)
    assert answer.headers["Content-Type"].startswith("text/plain; version=")
    assert b"chatd_commands_total" in answer.body
