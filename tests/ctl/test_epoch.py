"""What chatctl says of the epoch of a real database, and that it begins another one."""

import io
import json
from argparse import Namespace
from collections.abc import Callable

import pytest
import pytest_twisted

from chatd.ctl.epoch import EpochCommands
from chatd.ctl.terminal import Terminal, Trouble
from chatd.store.epochs import PostgresEpochs, new_epoch
from chatd.store.pool import Pool


class Operator:
    """Runs commands, with and without ``--json``."""

    def __init__(self, epochs: PostgresEpochs) -> None:
        self._epochs = epochs
        self.out = self.err = ""

    async def run(self, command: str, *, structured: bool = False) -> str:
        """What it writes to standard output."""
        out, err = io.StringIO(), io.StringIO()
        terminal = Terminal(lambda: 0.0, structured=structured, out=out, err=err)
        try:
            await EpochCommands(self._epochs, terminal).commands[f"epoch {command}"](Namespace())
        finally:
            self.out, self.err = out.getvalue(), err.getvalue()
        return self.out


@pytest.fixture
def epochs(pool: Pool) -> PostgresEpochs:
    return PostgresEpochs(pool, new_epoch)


@pytest.fixture
def operator(epochs: PostgresEpochs) -> Operator:
    return Operator(epochs)


@pytest_twisted.ensureDeferred
async def test_an_epoch_that_holds_is_shown_with_where_and_when_it_began(
    operator: Operator, epochs: PostgresEpochs
) -> None:
    name = await epochs.settle()
    assert (await operator.run("status")).startswith(f"{name}  since 20")
    assert operator.err == ""
    told = json.loads(await operator.run("status", structured=True))
    assert told == {
        "epoch": name,
        "since": (await epochs.current()).since.isoformat(),
        "began_at": told["database_at"],
        "database_at": (await epochs.current()).here,
        "holds": True,
    }


@pytest_twisted.ensureDeferred
async def test_one_that_no_longer_holds_is_a_trouble(
    operator: Operator, epochs: PostgresEpochs, sql: Callable[..., object]
) -> None:
    await epochs.settle()
    sql("UPDATE chatd.epoch SET place = 'elsewhere'")
    with pytest.raises(Trouble, match="restored, moved or promoted since this epoch began"):
        await operator.run("status", structured=True)
    told = json.loads(operator.out)
    assert (told["began_at"], told["holds"]) == ("elsewhere", False)


@pytest_twisted.ensureDeferred
async def test_what_cannot_be_asked_is_said(
    operator: Operator, epochs: PostgresEpochs, sql: Callable[..., object]
) -> None:
    sql("ALTER FUNCTION pg_control_system() RENAME TO hidden")
    try:
        await epochs.settle()
        await operator.run("status")
    finally:
        sql("ALTER FUNCTION pg_catalog.hidden() RENAME TO pg_control_system")
    assert "system unknown, timeline 0" in operator.out
    assert "not every restored backup is noticed by itself" in operator.err


@pytest_twisted.ensureDeferred
async def test_a_renewed_epoch_is_another_one_and_holds(operator: Operator, epochs: PostgresEpochs) -> None:
    before = await epochs.settle()
    name, told = (await operator.run("renew")).splitlines()
    epoch = await epochs.current()
    assert (epoch.name, epoch.holds) == (name, True)
    assert name != before
    assert "clients resynchronise" in told
    assert json.loads(await operator.run("renew", structured=True))["epoch"] == (await epochs.current()).name
