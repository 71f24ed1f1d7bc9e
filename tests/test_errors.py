"""Errors are published: what is in the catalogue holds for all of them, and nothing is missing from it."""

import ast
import re
from collections.abc import Iterator
from http import HTTPStatus
from pathlib import Path

import pytest

import chatd
from chatd import errors
from chatd.errors import CATALOGUE, ChatdError, CloseCode, PeerError, ServerError

PACKAGE = Path(chatd.__file__).parent


def leaves(of: type[ChatdError]) -> Iterator[type[ChatdError]]:
    """The errors that are raised as they are; those of other modules refine one of these."""
    for subclass in of.__subclasses__():
        if subclass.__module__ == errors.__name__:
            yield from leaves(subclass)
            if not [one for one in subclass.__subclasses__() if one.__module__ == errors.__name__]:
                yield subclass


def test_every_error_stands_in_the_catalogue_once() -> None:
    assert len(set(CATALOGUE)) == len(CATALOGUE)
    assert set(CATALOGUE) == set(leaves(ChatdError))


def test_codes_are_unique_and_fit_for_a_name() -> None:
    codes = [error.code for error in CATALOGUE]
    assert len(set(codes)) == len(codes)
    assert all(re.fullmatch("[a-z]+(_[a-z]+)*", code) for code in codes)


@pytest.mark.parametrize("error", CATALOGUE, ids=lambda error: error.code)
def test_an_error_says_whose_it_is_and_what_it_means(error: type[ChatdError]) -> None:
    HTTPStatus(error.status)
    assert issubclass(error, PeerError) == (400 <= error.status < 500)
    assert issubclass(error, ServerError) == (500 <= error.status < 600)
    assert error.meaning.endswith(".")
    assert (error().detail, error("why").detail, str(error("why"))) == (error.meaning, "why", "why")
    assert error().retry_after_ms is None
    assert error(retry_after_ms=5).retry_after_ms == 5


def test_the_catalogue_is_in_the_order_of_the_status() -> None:
    statuses = [error.status for error in CATALOGUE]
    assert statuses == sorted(statuses)


def test_the_tree_in_the_docstring_is_the_catalogue() -> None:
    tree = re.findall(r"\+-- (\w+) +(\d{3})  ", errors.__doc__ or "")
    assert tree == [(error.__name__, str(error.status)) for error in CATALOGUE]


def test_a_hint_when_to_come_back_is_given_only_where_coming_back_helps() -> None:
    retryable = {error.__name__ for error in CATALOGUE if error.retryable}
    given = 0
    for path in PACKAGE.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Call) and any(keyword.arg == "retry_after_ms" for keyword in node.keywords):
                name = node.func.id if isinstance(node.func, ast.Name) else ""
                if hasattr(errors, name):
                    given += 1
                    assert name in retryable, f"{path}:{node.lineno}"
    assert given > 2


def test_close_codes_are_ones_that_a_server_may_send() -> None:
    """RFC 6455, section 7.4: 1005, 1006 and 1015 are never sent, 4000 to 4999 are the application's."""
    for code in CloseCode:
        assert code in (1000, 1001, 1002, 1003, 1007, 1008, 1009, 1010, 1011, 1012, 1013) or 4000 <= code < 5000
