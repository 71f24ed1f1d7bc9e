"""PostgreSQL array literals.

A statement with one literal for each column is planned and parsed in the same time for one row as for hundreds; an
``ARRAY[...]`` of hundreds of expressions is not. The literals are passed as parameters like any other text.
"""

from collections.abc import Iterable


def plain_array(values: Iterable[object]) -> str:
    """Of numbers or UUIDs: whatever needs no quoting."""
    return "{" + ",".join(map(str, values)) + "}"


def nullable_array(values: Iterable[object]) -> str:
    """Of numbers, booleans, times or text, None being NULL."""
    return "{" + ",".join(["NULL" if value is None else _quoted(str(value)) for value in values]) + "}"


def text_array(values: Iterable[str]) -> str:
    """Of any text without NUL."""
    return "{" + ",".join([_quoted(value) for value in values]) + "}"


def bytea_array(values: Iterable[bytes]) -> str:
    """Of bytes, in hexadecimal."""
    return "{" + ",".join(['"\\\\x' + value.hex() + '"' for value in values]) + "}"


def _quoted(value: str) -> str:
    if "\\" in value or '"' in value:
        value = value.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{value}"'
