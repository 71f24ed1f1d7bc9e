"""What is asked for and what is told."""

import json
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import pytest

from bench.findings import Findings, Round, Row
from bench.options import Options, parse
from bench.processes import Share
from bench.report import number, table, write

FACTS = {
    "cores": 2,
    "processor": "Some CPU",
    "python": "3.11.7",
    "fdatasync_ms": 0.2,
    "file_system": "ext4",
    "load_before": 0.5,
}


@dataclass(frozen=True)
class Figures:
    rate: float
    shares: tuple[Share, ...] = ()


FINDINGS = Findings(
    scenario="direct",
    about="100 pairs",
    rows=(
        Row("messages/s", 12_345.0, 30_000.0, 0.4115, "ratio >= 0.3", True),
        Row("p99 ms", 12.34, None, None, "<= 10 ms", False),
        Row("not measured", None, None, None, "<= 1", None),
    ),
    rounds=(Round(1, "chatd", "full", Figures(12_345.0)),),
)


def test_the_table_puts_the_sides_next_to_each_other_and_judges() -> None:
    text = table([FINDINGS], FACTS)
    rate, p99 = text.splitlines()[-2:]
    assert rate.split() == ["messages/s", "12,345", "30,000", "0.41", "ratio", ">=", "0.3", "met"]
    assert p99.split() == ["p99", "ms", "12.3", "<=", "10", "ms", "MISSED"]
    assert "not measured" not in text


def test_a_scenario_may_compare_chatd_with_itself() -> None:
    found = Findings("history", "pages", (Row("the latest", 2.0, 1.0, 2.0),), (), ("10,000 messages", "100 messages"))
    assert "10,000 messages    100 messages    ratio" in table([found], FACTS)


def test_a_machine_that_others_use_is_pointed_out() -> None:
    for cores, told in ((0.1, False), (1.5, True)):
        rounds = (Round(1, "chatd", "full", Figures(1.0, (Share("server", 0.9), Share("others", cores)))),)
        text = table([Findings("direct", "100 pairs", (), rounds)], FACTS)
        assert ("Other programs used 1.5 cores" in text) is told


def test_a_database_in_memory_is_pointed_out() -> None:
    assert "memory" not in table([], FACTS)
    assert "--folder" in table([], {**FACTS, "file_system": "tmpfs"})


@pytest.mark.parametrize(("value", "text"), [(None, ""), (1234.5, "1,234"), (99.95, "100.0"), (3.14159, "3.14")])
def test_a_figure_has_as_many_digits_as_it_is_worth(value: float | None, text: str) -> None:
    assert number(value) == text


def test_everything_is_written_to_a_file_named_after_the_time(tmp_path: Path) -> None:
    path = write(tmp_path / "results", datetime(2026, 4, 1, 12, 30, 5, tzinfo=UTC), Options(), FACTS, [FINDINGS])
    assert path.name == "20260401T123005Z.json"
    content = json.loads(path.read_text())
    assert content["options"]["pairs"] == 100
    assert content["machine"]["file_system"] == "ext4"
    assert content["scenarios"][0]["rounds"][0]["figures"] == {"rate": 12_345.0, "shares": []}


def test_without_options_everything_is_measured_on_both_sides() -> None:
    assert parse([]) == Options()


def test_options_change_what_they_name_and_a_quick_run_nothing_else() -> None:
    options = parse(["--quick", "--only", "memory,direct", "--seconds", "0.5"])
    assert options.only == ("direct", "memory")
    assert options.seconds == 0.5
    assert options.rounds == 1
    assert options.pairs == Options().pairs


@pytest.mark.parametrize(
    "arguments",
    [["--only", "nothing"], ["--rounds", "0"], ["--rounds", "many"], ["--seconds", "1e9"], ["--body-bytes", "3"]],
)
def test_a_wrong_option_ends_the_program(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        parse(arguments)
    assert arguments[0] in capsys.readouterr().err
