"""All workers' figures on one page."""

from chatd.edge.metrics import Metrics
from chatd.workers.figures import WorkerState, collected, exposition


def page(*commands: str) -> list[str]:
    """What is shown of two workers that have answered one ping each, and of a third that says nothing."""
    figures = {}
    for number in (1, 2):
        metrics = Metrics(commands)
        for _ in range(number):
            metrics.observe("ping", "ok", 0.002)
        metrics.gauge("connections", "Sockets that are open.", lambda number=number: number * 10)
        figures[number] = collected(metrics.registry)
    states = {1: WorkerState(True, 0), 2: WorkerState(True, 4), 3: WorkerState(False, 9)}
    return exposition(states, figures).decode().splitlines()


def test_each_figure_says_whose_it_is() -> None:
    lines = page("ping")
    assert 'chatd_commands_total{code="ok",command="ping",worker="1"} 1.0' in lines
    assert 'chatd_commands_total{code="ok",command="ping",worker="2"} 2.0' in lines
    assert 'chatd_connections{worker="2"} 20.0' in lines
    assert 'chatd_command_seconds_bucket{command="ping",le="0.0025",worker="2"} 2.0' in lines


def test_a_worker_that_does_not_answer_is_there_with_what_its_parent_knows() -> None:
    lines = page("ping")
    assert 'chatd_worker_ready{worker="1"} 1.0' in lines
    assert 'chatd_worker_ready{worker="3"} 0.0' in lines
    assert 'chatd_worker_restarts_total{worker="3"} 9.0' in lines


def test_each_family_has_one_head_however_many_workers_there_are() -> None:
    heads = [line for line in page("ping") if line.startswith("# TYPE")]
    assert len(heads) == len(set(heads))
    assert "# TYPE chatd_commands_total counter" in heads
    assert "# TYPE chatd_command_seconds histogram" in heads
