"""On what the figures were measured."""

import os
import platform
import subprocess
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from statistics import median
from time import perf_counter

PACKAGES = ("twisted", "autobahn", "txpostgres", "psycopg2-binary", "msgspec", "cryptography", "pyjwt")
IN_MEMORY = ("tmpfs", "ramfs")
_FSYNCS = 50
_PAGE = bytes(8192)


def facts(folder: Path, project: Path) -> dict[str, object]:
    """The machine, the versions, and the disk that ``folder`` lies on."""
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    return {
        "processor": _processor(),
        "cores": len(os.sched_getaffinity(0)),
        "memory_gib": round(memory / 2**30, 1),
        "kernel": platform.release(),
        "load_before": os.getloadavg()[0],
        "file_system": file_system(folder, Path("/proc/mounts").read_text()),
        "fdatasync_ms": round(fdatasync_ms(folder), 3),
        "python": platform.python_version(),
        "commit": _commit(project),
        "packages": {name: _version(name) for name in PACKAGES},
    }


def file_system(folder: Path, mounts: str) -> str:
    """The type of the file system that ``folder`` lies on, by the text of /proc/mounts."""
    path, best, kind = folder.resolve(), -1, "unknown"
    for line in mounts.splitlines():
        point, found = line.split()[1:3]
        point = point.replace("\\040", " ")
        if path.is_relative_to(point) and len(point) >= best:
            best, kind = len(point), found
    return kind


def fdatasync_ms(folder: Path) -> float:
    """How long it takes here to write a page and have it on the disk: the median, in milliseconds."""
    path = folder / "fdatasync"
    descriptor = os.open(path, os.O_CREAT | os.O_WRONLY, 0o600)
    try:
        times = []
        for _ in range(_FSYNCS):
            begun = perf_counter()
            os.write(descriptor, _PAGE)
            os.fdatasync(descriptor)
            times.append(perf_counter() - begun)
    finally:
        os.close(descriptor)
        path.unlink()
    return median(times) * 1e3


def _processor() -> str:
    lines = Path("/proc/cpuinfo").read_text().splitlines()
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.machine()


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return ""


def _commit(project: Path) -> str:
    """The revision under test, or nothing outside a checkout."""
    command = ["git", "-C", str(project), "rev-parse", "--short", "HEAD"]
    try:
        return subprocess.run(command, capture_output=True, text=True, check=True, timeout=10).stdout.strip()
    except (OSError, subprocess.SubprocessError):
        return ""
