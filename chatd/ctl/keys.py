"""``chatctl keys``: what there is to do about master keys and people's data keys."""

from argparse import Namespace
from collections.abc import Awaitable, Callable
from datetime import datetime
from typing import Any

import msgspec
from twisted.internet.task import deferLater

from chatd.ctl.rotation import Left, Proof, Rotation
from chatd.ctl.shredding import SETTLE_SECONDS, Shredding
from chatd.ctl.terminal import Terminal, Trouble
from chatd.records.base import Record
from chatd.security.keyring import Keyring, MasterKeys
from chatd.security.sealing import Unreadable
from chatd.state.authors import SERVER
from chatd.store.erasure import PostgresErasure
from chatd.store.keys import PostgresKeys
from chatd.store.pool import Pool


class Standing(Record, frozen=True, kw_only=True, gc=False):
    """How many data keys one master key wraps."""

    version: str
    keys: int
    current: bool
    configured: bool

    def __str__(self) -> str:
        if not self.configured:
            remark = ", not configured"
        elif self.current:
            remark = ", current"
        else:
            remark = "" if self.keys else ", no longer needed"
        return f"{self.version}  {self.keys} keys{remark}"


class KeysCommands:
    """Each raises Trouble for what is not as it should be."""

    def __init__(self, pool: Pool, masters: MasterKeys, terminal: Terminal, reactor: Any) -> None:
        self._keys = PostgresKeys(pool)
        self._erasure = PostgresErasure(pool)
        self._masters = masters
        self._terminal = terminal
        self._reactor = reactor

    @property
    def commands(self) -> dict[str, Callable[[Namespace], Awaitable[None]]]:
        """By name."""
        return {"keys status": self.status, "keys rotate": self.rotate, "keys shred": self.shred}

    async def status(self, asked: Namespace) -> None:
        """How many data keys each master key wraps."""
        counts = await self._keys.counts()
        configured, current = self._masters.versions, self._masters.current
        missing = [version for version in counts if version not in configured]
        standing = {
            version: Standing(
                version=version,
                keys=counts.get(version, 0),
                current=version == current,
                configured=version in configured,
            )
            for version in (*configured, *missing)
        }
        self._terminal.result(
            {"versions": [msgspec.structs.asdict(one) for one in standing.values()]}, *map(str, standing.values())
        )
        if missing:
            raise Trouble(
                f"{sum(counts[version] for version in missing)} data keys are wrapped by master keys that are not"
                f" configured: {', '.join(missing)}; put their lines back, or what these people wrote stays unreadable"
            )
        for key in await self._keys.keys([SERVER]):
            try:
                Keyring(self._masters).open(key)
            except Unreadable as error:
                raise Trouble(
                    f"the server's own data key does not open: {error}; use the master keys of chatd"
                ) from error

    async def rotate(self, asked: Namespace) -> None:
        """Rewrap, then prove."""
        rotation = Rotation(self._keys, self._masters)
        progress = self._terminal.progress("data keys rewrapped")
        rewrapped = await rotation.rewrap(progress.show)
        progress.end()
        progress = self._terminal.progress("data keys opened with the current master key alone")
        proof = await rotation.prove(progress.show)
        progress.end()
        lines = [f"{rewrapped} data keys were rewrapped"]
        if proof.complete:
            lines.append(f"all {proof.opened} data keys open with master key {proof.current} alone")
        self._terminal.result(
            {
                "current": proof.current,
                "rewrapped": rewrapped,
                "opened": proof.opened,
                "left": proof.left,
                "some": [{"user": one.user, "why": one.why} for one in proof.some],
                "late": list(proof.late),
            },
            *lines,
        )
        check(proof)

    async def shred(self, asked: Namespace) -> None:
        """Destroy a key, and what is left of its owner's words."""
        progress = self._terminal.progress("places looked at")
        shredding = Shredding(self._keys, self._erasure, self._pause, progress.show)
        shredded = await shredding.shred(asked.user, lambda at: self._terminal.note(_destroyed(asked.user, at)))
        progress.end()
        if shredded is None:
            raise Trouble(f"nobody with the user id {asked.user!r} has a data key: nothing was destroyed")
        erased = shredded.erased
        self._terminal.result(
            {
                "user": asked.user,
                "destroyed_at": shredded.at.isoformat(),
                "messages": erased.messages,
                "reactions": erased.reactions,
            },
            f"{erased.messages} messages are found no more, and {erased.reactions} reactions were taken back",
            "backups that are older still hold the wrapped key: docs/deploy/keys.rst says what to do about them",
        )

    async def _pause(self, seconds: float) -> None:
        await deferLater(self._reactor, seconds)


def generate(version: str | None, now: datetime) -> str:
    """A line with a new master key; raises `MasterKeyError` for an unfit version."""
    return MasterKeys.generate_line(version or now.date().isoformat())


def _destroyed(user: str, at: datetime) -> str:
    return (
        f"the data key of {user!r} was destroyed at {at.isoformat()}; waiting {SETTLE_SECONDS:.0f} seconds until every"
        " worker has forgotten it"
    )


def check(proof: Proof) -> None:
    """Raise Trouble if something depends on another master key than the current one."""
    if proof.late:
        raise Trouble(
            f"while this went on, keys were wrapped by {', '.join(proof.late)}: a chatd still does; give each of them"
            f" the master keys that end with {proof.current}, reload it, and run this again"
        )
    if proof.left:
        more = ", ..." if proof.left > len(proof.some) else ""
        raise Trouble(
            f"{proof.left} data keys do not open with master key {proof.current} alone; leave the older lines where"
            f" they are: {', '.join(map(_told, proof.some))}{more}"
        )


def _told(left: Left) -> str:
    return f"{left.user!r} ({left.why})" if left.user else f"the server's own ({left.why})"
