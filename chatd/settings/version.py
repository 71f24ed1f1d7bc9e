"""Which chatd this is."""

from importlib.metadata import PackageNotFoundError, version


def chatd_version() -> str:
    """What ``--version`` prints."""
    try:
        return f"chatd {version('chatd')}"
    except PackageNotFoundError:
        return "chatd, run from its source"
