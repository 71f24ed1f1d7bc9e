"""What an auth service answers about a token (RFC 7662, section 2.2), read strictly."""

from collections.abc import Mapping

from chatd.security.jwks import strict_object


class NoAnswer(ValueError):
    """Not an answer as the standard has it; says why, and quotes nothing."""


def read_answer(body: bytes) -> Mapping[str, object] | None:
    """The members of an answer about an active token, None of an inactive one. Raises `NoAnswer`."""
    members = strict_object(body)
    if members is None:
        raise NoAnswer("not one strict JSON object")
    active = members.get("active")
    if not isinstance(active, bool):
        raise NoAnswer('"active" is neither true nor false')
    return members if active else None
