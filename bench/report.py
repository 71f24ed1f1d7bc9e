"""The table on the terminal and the file with everything behind it."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from datetime import datetime
from pathlib import Path

from bench.findings import Findings, Row
from bench.machine import IN_MEMORY
from bench.options import Options

_QUIET = 0.2
"""Cores that others may use before the reader is warned."""
_COLUMNS = "  {:<40} {:>15} {:>15}{:>9}   {}"


def table(findings: Sequence[Findings], facts: Mapping[str, object]) -> str:
    """What is printed at the end."""
    lines = [_machine(facts)]
    for found in findings:
        lines += ["", f"{found.scenario}: {found.about}"]
        lines.append(_COLUMNS.format("median of rounds", *found.columns, "ratio", "target").rstrip())
        lines += [_line(row) for row in found.rows if row.chatd is not None or row.bare is not None]
        if found.disturbance > _QUIET:
            lines.append(
                f"  Other programs used {found.disturbance:.1f} cores meanwhile: these figures are worth little."
            )
    return "\n".join(lines)


def _machine(facts: Mapping[str, object]) -> str:
    line = (
        f"{facts['cores']} cores of {facts['processor']}, Python {facts['python']}, "
        f"fdatasync {facts['fdatasync_ms']} ms on {facts['file_system']}, load before {facts['load_before']:.2f}"
    )
    if facts["file_system"] in IN_MEMORY:
        line += "\nThe database lies in memory, where commits cost nothing: give --folder on a disk for real figures."
    return line


def _line(row: Row) -> str:
    verdict = {None: "", True: "  met", False: "  MISSED"}[row.met]
    ratio = "" if row.ratio is None else f"{row.ratio:.2f}"
    return _COLUMNS.format(row.what, number(row.chatd), number(row.bare), ratio, row.target + verdict).rstrip()


def number(value: float | None) -> str:
    """Three or four digits are all that such a figure is worth."""
    if value is None:
        return ""
    return f"{value:,.0f}" if value >= 1000 else f"{value:.1f}" if value >= 10 else f"{value:.2f}"


def write(
    folder: Path, at: datetime, options: Options, facts: Mapping[str, object], findings: Sequence[Findings]
) -> Path:
    """Put everything into a file named after the time ``at``."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{at:%Y%m%dT%H%M%SZ}.json"
    content = {
        "time": at.isoformat(),
        "options": asdict(options),
        "machine": facts,
        "scenarios": [asdict(found) for found in findings],
    }
    path.write_text(json.dumps(content, indent=1, default=str) + "\n")
    return path
