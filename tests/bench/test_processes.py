"""What /proc says."""

import os
from pathlib import Path

from bench.machine import file_system
from bench.processes import (
    Meter,
    Stat,
    family_seconds,
    own_seconds,
    parse_busy,
    parse_rss,
    parse_stat,
    process_seconds,
    resident,
)

MOUNTS = """\
tmpfs /tmp tmpfs rw 0 0
/dev/vda / ext4 rw 0 0
/dev/vdb /srv/big\\040disk xfs rw 0 0
"""


def test_a_programs_name_may_hold_anything() -> None:
    line = "42 (a) S (b)) S 7 42 42 0 -1 4194304 1 2 3 4 100 20 3 4 20 0 1 0 5 6 7"
    assert parse_stat(line) == Stat(parent=7, own=120, ended_children=7)


def test_resident_memory_is_told_in_bytes() -> None:
    assert parse_rss("Name:\tpython\nVmRSS:\t   2048 kB\nThreads:\t1\n") == 2 * 2**20


def test_a_machine_is_busy_unless_it_is_idle_or_waits_for_a_disk() -> None:
    assert parse_busy("cpu  1 20 300 9999 8888 4000 50000 600000 7 8\ncpu0 1 2\n") == 654_321


def test_what_nobody_here_used_was_used_by_others() -> None:
    machine, server = iter([100.0, 106.0]), iter([10.0, 14.0])
    meter = Meter({"server": lambda: next(server)}, machine=lambda: next(machine))
    shares = {share.name: share.cores for share in meter.shares(meter.read(), 2.0)}
    assert list(shares) == ["server", "generator", "others"]
    assert shares["server"] == 2.0
    assert 0.9 < shares["others"] <= 1.0


def test_this_process_can_be_read() -> None:
    assert resident(os.getpid()) > 2**20
    assert 0 < process_seconds(os.getpid()) <= own_seconds() + 0.1
    assert family_seconds(os.getpid()) >= process_seconds(os.getpid()) - 0.1


def test_a_folder_lies_on_the_deepest_mount_above_it() -> None:
    assert file_system(Path("/srv"), MOUNTS) == "ext4"
    assert file_system(Path("/tmp/a/b"), MOUNTS) == "tmpfs"
    assert file_system(Path("/srv/big disk/pg"), MOUNTS) == "xfs"
    assert file_system(Path("/tmpfiles"), MOUNTS) == "ext4"
