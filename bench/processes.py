"""What processes use, read from /proc (proc(5))."""

import os
import resource
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

OTHERS = "others"
"""The name of what the bench has no part in."""

_TICKS_PER_S = os.sysconf("SC_CLK_TCK")


@dataclass(frozen=True, slots=True)
class Share:
    """Processor time that ``name`` used per second, so 1.0 is one core."""

    name: str
    cores: float


@dataclass(frozen=True, slots=True)
class Stat:
    """A process's line: its parent, and clock ticks used by itself and by children that have ended."""

    parent: int
    own: int
    ended_children: int


def parse_stat(line: str) -> Stat:
    """Read /proc/<pid>/stat. The second field, the program's name, may hold spaces and parentheses."""
    fields = line.rpartition(")")[2].split()
    utime, stime, cutime, cstime = (int(field) for field in fields[11:15])
    return Stat(parent=int(fields[1]), own=utime + stime, ended_children=cutime + cstime)


def parse_rss(status: str) -> int:
    """The resident bytes of /proc/<pid>/status."""
    line = next(line for line in status.splitlines() if line.startswith("VmRSS:"))
    return int(line.split()[1]) * 1024


def resident(pid: int) -> int:
    """Resident memory in bytes."""
    return parse_rss(Path(f"/proc/{pid}/status").read_text())


def process_seconds(pid: int) -> float:
    """Processor time of one process so far."""
    return parse_stat(Path(f"/proc/{pid}/stat").read_text()).own / _TICKS_PER_S


def family_seconds(pid: int) -> float:
    """Processor time so far of a process and its children, those that have ended included."""
    ticks = 0
    for one, stat in _stats():
        if one == pid:
            ticks += stat.own + stat.ended_children
        elif stat.parent == pid:
            ticks += stat.own
    return ticks / _TICKS_PER_S


def children(pid: int) -> list[int]:
    """The processes that this one has started, and that run."""
    return [one for one, stat in _stats() if stat.parent == pid]


def _stats() -> Iterator[tuple[int, Stat]]:
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit():
            continue
        try:
            yield int(entry.name), parse_stat((entry / "stat").read_text())
        except (FileNotFoundError, ProcessLookupError):
            continue  # ended since the folder was listed; its time is its parent's then


def own_seconds() -> float:
    """Processor time of this process, the generator, so far."""
    usage = resource.getrusage(resource.RUSAGE_SELF)
    return usage.ru_utime + usage.ru_stime


def parse_busy(stat: str) -> int:
    """The clock ticks of /proc/stat that all processors together were not idle; what a hypervisor took counts, too."""
    user, nice, system, _, _, irq, softirq, steal = (int(field) for field in stat.split(maxsplit=9)[1:9])
    return user + nice + system + irq + softirq + steal


def machine_seconds() -> float:
    """Processor time that the whole machine used so far."""
    return parse_busy(Path("/proc/stat").read_text()) / _TICKS_PER_S


class Meter:
    """Processor time by name: that of the ``clocks``, which give seconds used so far, the generator's, and the others'.

    Where the others, who have nothing to do with the bench, use much, the figures are worth little.
    """

    def __init__(
        self, clocks: Mapping[str, Callable[[], float]], machine: Callable[[], float] = machine_seconds
    ) -> None:
        self._clocks = {**clocks, "generator": own_seconds}
        self._machine = machine

    def read(self) -> tuple[float, ...]:
        """Seconds used so far, for `shares`."""
        return (self._machine(), *(clock() for clock in self._clocks.values()))

    def shares(self, since: tuple[float, ...], seconds: float) -> tuple[Share, ...]:
        """What was used since then, ``seconds`` ago."""
        machine, *used = ((now - then) / seconds for now, then in zip(self.read(), since, strict=True))
        shares = [Share(name, cores) for name, cores in zip(self._clocks, used, strict=True)]
        return (*shares, Share(OTHERS, max(0.0, machine - sum(used))))
