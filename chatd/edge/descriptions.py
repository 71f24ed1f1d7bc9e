"""``python -m chatd.edge.descriptions``: writes the API descriptions under ``docs/reference``, or checks them.

They are kept in the repository, so that a change of the wire shows in review. With ``--check`` nothing is written:
the first file that is out of date is named on standard error, and the exit code is 1.
"""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from chatd.edge.asyncapi import asyncapi
from chatd.edge.openapi import openapi
from chatd.edge.schemas import rendered
from chatd.handlers.catalogue import DECLARATIONS

FOLDER = Path("docs/reference")


def descriptions() -> dict[str, bytes]:
    """The documents by the names of their files."""
    return {"openapi.json": rendered(openapi(DECLARATIONS)), "asyncapi.json": rendered(asyncapi(DECLARATIONS))}


def main(arguments: Sequence[str]) -> int:
    """Write or check; the exit code."""
    parser = argparse.ArgumentParser(prog="python -m chatd.edge.descriptions", description="The API descriptions.")
    parser.add_argument("--check", action="store_true", help="compare with the files instead of writing them")
    parser.add_argument("folder", nargs="?", type=Path, default=FOLDER, help="where they are (%(default)s)")
    options = parser.parse_args(arguments)
    for name, content in descriptions().items():
        path: Path = options.folder / name
        if not options.check:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content)
        elif not path.exists() or path.read_bytes() != content:
            print(f"{path} is out of date: run {parser.prog} {options.folder}", file=sys.stderr)
            return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
