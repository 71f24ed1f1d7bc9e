"""What ``--dev`` makes up so that nothing needs to be configured: keys, and two people with tokens.

::

    <state>/
        signing-key.json   the key that the tokens are signed with, a private JWK (RFC 7517)
        master-keys        the master key that everything stored here is encrypted under
        tokens.env         tokens of alice and bob for the shell, new at each start

All three are for their owner alone (mode 0600). The two keys are kept from start to start: without the master key, the
messages in the state folder cannot be read again.
"""

import os
import shlex
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from chatd.security.jwks import KeySetError, base64url
from chatd.security.keyring import MasterKeyError, MasterKeys
from chatd.security.tokens import SigningKey
from chatd.settings.base import Secret, SettingsError
from chatd.workers import private_file

ISSUER = "chatd-dev"
AUDIENCE = "chatd"
PEOPLE = ("alice", "bob")
TOKEN_LIFETIME_S = 24 * 3600
TOKENS_FILE = "tokens.env"


@dataclass(frozen=True, slots=True)
class PersonalToken:
    """A person of the try-out and what proves it."""

    user: str
    token: Secret


@dataclass(frozen=True, slots=True)
class DevelopmentIdentity:
    """Who signs and who may talk in a try-out. ``master_keys`` is written as MasterKeys.parse reads it."""

    state: Path
    issuer: str
    audience: str
    signing_key: SigningKey = field(repr=False)
    master_keys: Secret
    people: tuple[PersonalToken, ...]


def prepare(
    state: Path, clock: Callable[[], float], random: Callable[[int], bytes] = os.urandom
) -> DevelopmentIdentity:
    """Make what is missing in the state folder, read what is there, and mint fresh tokens.

    ``clock`` gives seconds since the epoch, ``random`` so many bytes, fit for keys. Raises SettingsError about
    ``state_dir`` if the folder or a file in it cannot be used.
    """
    try:
        _make_folder(state)
        signing_key = _signing_key(state, random)
        master_keys = _master_keys(state, random)
        people = tuple(PersonalToken(user, _mint(signing_key, user, clock(), random)) for user in PEOPLE)
        private_file.replace(state / TOKENS_FILE, "\n".join(_assignments(people)) + "\n")
    except OSError as error:
        place = error.filename or state
        raise SettingsError("state_dir", str(state), f"{place} cannot be used: {error.strerror}") from error
    return DevelopmentIdentity(state, ISSUER, AUDIENCE, signing_key, master_keys, people)


def _signing_key(state: Path, random: Callable[[int], bytes]) -> SigningKey:
    path = state / "signing-key.json"
    try:
        return SigningKey.from_jwk(private_file.keep(path, lambda: SigningKey.generate(random).to_jwk()))
    except (KeySetError, UnicodeDecodeError):
        problem = f"{path} does not hold what was written there; delete it for a new key"
        raise SettingsError("state_dir", str(state), problem) from None


def _master_keys(state: Path, random: Callable[[int], bytes]) -> Secret:
    path = state / "master-keys"
    try:
        text = private_file.keep(path, lambda: MasterKeys.generate_line("dev-1", random) + "\n")
        MasterKeys.parse(text)
    except (MasterKeyError, UnicodeDecodeError):
        # Not to be deleted light-heartedly: what was encrypted under it would be lost.
        problem = f"{path} does not hold what was written there; restore it, or choose another state folder"
        raise SettingsError("state_dir", str(state), problem) from None
    return Secret(text)


def _make_folder(state: Path) -> None:
    """Make it for its owner alone; root's may be passed through, since its database belongs to another user."""
    if not state.is_dir():
        state.mkdir(mode=0o700, parents=True)
        if os.geteuid() == 0:
            state.chmod(0o711)
    status = state.stat()
    if status.st_uid != os.geteuid() or status.st_mode & 0o022:
        raise private_file.NotPrivate(None, "must be yours, and others must not write to it", str(state))


def _mint(signing_key: SigningKey, user: str, now: float, random: Callable[[int], bytes]) -> Secret:
    token_id = base64url(random(16))
    lifetime = TOKEN_LIFETIME_S
    return Secret(
        signing_key.mint(user, issuer=ISSUER, audience=AUDIENCE, now=int(now), lifetime=lifetime, token_id=token_id)
    )


def _assignments(people: tuple[PersonalToken, ...]) -> list[str]:
    """For a shell; tokens are base64url and dots, which need no quotes."""
    return [f"export {person.user.upper()}={person.token.reveal()}" for person in people]


def banner(identity: DevelopmentIdentity, address: str) -> str:
    """What is printed once a try-out serves: the warning, the tokens, and lines to paste.

    To be written to ``sys.__stdout__``: under twistd, ``sys.stdout`` is the log, where tokens do not belong.
    ``address`` is where it serves, such as ``http://127.0.0.1:8443``; the sockets' address follows from it.
    """
    return _BANNER.format(
        http=address,
        ws="ws" + address.removeprefix("http"),
        state=identity.state,
        tokens_file=shlex.quote(str(identity.state / TOKENS_FILE)),
        tokens="\n".join(_assignments(identity.people)),
    )


_BANNER = """
################################################################################
#  TRY-OUT: NOT FOR PRODUCTION                                                 #
#  Whoever reads the state folder can be anyone and read everything.           #
################################################################################

chatd serves at {http} and keeps its state in {state}.
Two people, alice and bob, can talk for the next 24 hours. Their tokens, for each terminal:

. {tokens_file}

which says:

{tokens}

Bob listens (Python, after pip install websockets):

python3 - <<'END'
import os
from websockets.sync.client import connect
header = {{"Authorization": "Bearer " + os.environ["BOB"]}}
with connect("{ws}/v1/ws", subprotocols=["chatd.v1.json"], additional_headers=header) as socket:
    socket.send('{{"id":1,"type":"sync"}}')
    for frame in socket:
        print(frame, flush=True)
END

Alice writes over HTTP; client_id names the message, so that sending it again does not repeat it:

curl -H "Authorization: Bearer $ALICE" -H 'Content-Type: application/json' \\
  -d '{{"client_id":"'$(date +%s%N)'","to":"bob","text":"hello"}}' {http}/v1/messages

What Bob missed, his conversations, and what was said in one of them:

curl -H "Authorization: Bearer $BOB" -H 'Content-Type: application/json' -d '{{}}' {http}/v1/sync
curl -H "Authorization: Bearer $BOB" {http}/v1/conversations
curl -H "Authorization: Bearer $BOB" {http}/v1/conversations/ID/history

On a socket, Alice may write too: {{"id":2,"type":"message.send","client_id":"c1","to":"bob","text":"hello"}}
"""
