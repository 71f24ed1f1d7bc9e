"""The page about faults says which tests hold what; they are there."""

import re
from pathlib import Path

TESTS = Path(__file__).parent
PAGE = TESTS.parent / "docs" / "design" / "faults.rst"
FAULTS = 64


def test_each_fault_has_a_row_and_each_test_that_is_named_exists() -> None:
    page = PAGE.read_text()
    assert [int(number) for number in re.findall(r"^   \* - (\d+)$", page, re.MULTILINE)] == list(range(1, FAULTS + 1))
    named = re.findall(r"``(\w+/\w+\.py)::(\w+)``", page)
    missing = [name for file, name in named if not re.search(rf"def {name}\(", (TESTS / file).read_text())]
    assert missing == []
