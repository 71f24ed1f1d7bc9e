"""What all sections of the settings are made of: kinds of values, secrets, and the error that stops the start."""

import msgspec
from msgspec import Meta


class Section(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Base of all sections."""


class Secret:
    """A text that shows itself only when asked to: no repr, str, log line or error message contains it."""

    __slots__ = ("__text",)

    def __init__(self, text: str = "") -> None:
        self.__text = text

    def reveal(self) -> str:
        """The text itself; hand it to what needs it, and keep it nowhere else."""
        return self.__text

    def __bool__(self) -> bool:
        return bool(self.__text)

    def __repr__(self) -> str:
        return "Secret(...)" if self else "Secret()"

    def __eq__(self, other: object) -> bool:
        return self.__text == other.__text if isinstance(other, Secret) else NotImplemented

    def __hash__(self) -> int:
        return hash(self.__text)


class SettingsError(Exception):
    """A setting that stops the start. Its text is one line: the key, where it was set, and what would be right."""

    def __init__(self, key: str, source: str, problem: str) -> None:
        line = f"{key} ({source}): {problem}"
        super().__init__("".join(c if c.isprintable() else repr(c)[1:-1] for c in line))
        self.key = key
        self.source = source
        self.problem = problem


Path = Meta(extra={"kind": "path"})
Address = Meta(extra={"kind": "address"})
Origins = Meta(extra={"kind": "origins"})
Prefix = Meta(extra={"kind": "prefix"})
Workers = Meta(extra={"kind": "workers"})
Networks = Meta(extra={"kind": "networks"})
