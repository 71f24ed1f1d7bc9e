"""What tests of settings start from, and how they look at a refusal."""

from collections.abc import Mapping
from pathlib import Path

import pytest

from chatd.settings.base import SettingsError
from chatd.settings.sources import load

DEV: Mapping[str, str | bool] = {"--dev": True}
PASSWORD = "hunter2-do-not-show"


def private(path: Path, text: str) -> Path:
    """A file for its owner alone."""
    path.write_text(text)
    path.chmod(0o600)
    return path


def production(folder: Path) -> dict[str, str]:
    """An environment with all that a start in production needs; its files lie in ``folder``."""
    return {
        "CHATD_DATABASE_DSN": f"postgresql://chatd:{PASSWORD}@db/chatd",
        "CHATD_ENCRYPTION_MASTER_KEYS": f"2025-11:{PASSWORD}",
        "CHATD_TOKENS_JWKS_FILE": str(private(folder / "jwks.json", "{}")),
        "CHATD_TOKENS_ISSUER": "https://auth.example.com",
        "CHATD_TOKENS_AUDIENCE": "chat",
    }


def refusal(flags: Mapping[str, str | bool], environ: Mapping[str, str]) -> SettingsError:
    """The error that stops this start, which is one line."""
    with pytest.raises(SettingsError) as caught:
        load(flags, environ)
    assert len(str(caught.value).splitlines()) == 1
    return caught.value
