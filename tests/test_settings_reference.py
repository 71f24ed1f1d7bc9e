"""What is written about settings follows from their types."""

import re
from pathlib import Path

from chatd.settings.model import Settings
from chatd.settings.reference import ENVIRONMENT_ONLY, example, fields, reference
from chatd.settings.sources import load
from tests.kit.settings import DEV, private

EXAMPLE = Path(__file__).parent.parent / "etc" / "chatd.toml"


def test_the_example_file_is_in_step_with_the_settings() -> None:
    assert EXAMPLE.read_text() == example()


def test_the_example_file_changes_nothing_as_it_is() -> None:
    assert load({**DEV, "--config": str(EXAMPLE)}, {}) == Settings(dev=True)


def test_the_example_file_shows_every_default(tmp_path: Path) -> None:
    switched_on = re.sub(r"^#(?=\w)", "", example(), flags=re.MULTILINE)
    shown = [field for field in fields() if f"\n{field.name} = " in switched_on]
    assert {field.key for field in fields()} - {field.key for field in shown} == ENVIRONMENT_ONLY
    assert load({**DEV, "--config": str(private(tmp_path / "chatd.toml", switched_on))}, {}) == Settings(dev=True)


def test_the_reference_has_a_full_line_for_every_setting() -> None:
    rows = reference()
    assert [row.name for row in rows] == [field.key for field in fields()]
    for row in rows:
        assert row.help.endswith(".")
        assert "\n" not in row.help
        assert row.environment == "CHATD_" + row.name.replace(".", "_").upper()
    names = [name for row in rows for name in (row.name, row.environment, row.flag) if name]
    assert len(names) == len(set(names))


def test_the_reference_tells_types_and_defaults_and_keeps_secrets_off_the_command_line() -> None:
    rows = {row.name: row for row in reference()}
    assert (rows["port"].type, rows["port"].default) == ("a whole number from 0 to 65535", "8443")
    assert rows["log_level"].type == "one of debug, info, warn, error, critical"
    secrets = ["database.dsn", "encryption.master_keys", "contacts.secret", "redis.url"]
    assert [name for name, row in rows.items() if not row.flag] == secrets
