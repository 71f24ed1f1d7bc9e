"""Secrets that a program prints: the seam to an HSM or a key management service, whose client chatd need not know."""

import os
import selectors
import shlex
import signal
import subprocess
from contextlib import suppress
from time import monotonic
from typing import Final

from chatd.settings.base import Secret, SettingsError

SECONDS: Final = 10.0
"""How long the program may take. At a reload the parent process waits for it, and the workers serve on."""
MAX_BYTES: Final = 65_536
"""How much it may print; hundreds of master keys have room."""
EXCERPT_CHARS: Final = 300
"""How much of what it complains of is told on."""


class _Failed(Exception):
    """What is wrong with the program, as the end of a sentence that begins with its name."""


def printed_secret(key: str, source: str, command: str, seconds: float = SECONDS) -> Secret:
    """What the program prints, without the white space around it. Raises SettingsError.

    ``command`` is split into words as a POSIX shell would split it, and no shell has a part in it: nothing in it is
    expanded. The program has chatd's environment and nothing to read. Whatever it starts is ended with it.
    """
    try:
        words = shlex.split(command)
    except ValueError as error:
        raise SettingsError(key, source, f"cannot be split into words: {error}") from error
    if not words:
        raise SettingsError(key, source, "names no program")
    try:
        printed = _run(words, seconds)
        text = printed.decode().strip()
        if not text:
            raise _Failed("printed nothing")
    except UnicodeDecodeError:
        # Without a cause: it would hold what was printed.
        raise SettingsError(key, source, f"{words[0]} printed what is not text in UTF-8") from None
    except OSError as error:
        raise SettingsError(key, source, f"{words[0]} cannot be run: {error.strerror}") from error
    except _Failed as failed:
        raise SettingsError(key, source, f"{words[0]} {failed}") from failed
    return Secret(text)


def _run(words: list[str], seconds: float) -> bytes:
    # In a session of its own, so that what it starts can be ended too: that may hold the pipes open.
    process = subprocess.Popen(
        words, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, start_new_session=True
    )
    with process:
        try:
            printed, complaint = _read(process, monotonic() + seconds, seconds)
        except _Failed:
            _end(process)
            raise
    if process.returncode == 0:
        return printed
    ending = (
        f"was ended by signal {-process.returncode}"
        if process.returncode < 0
        else f"ended with exit code {process.returncode}"
    )
    raise _Failed(f"{ending}: {_excerpt(complaint)}")


def _read(process: "subprocess.Popen[bytes]", deadline: float, seconds: float) -> tuple[bytes, bytes]:
    """What it prints and what it complains of, once it has ended."""
    assert process.stdout is not None, "the pipe was asked for"
    assert process.stderr is not None, "the pipe was asked for"
    printed, complaint = bytearray(), bytearray()
    late = _Failed(f"did not end within {seconds:g} seconds")
    with selectors.DefaultSelector() as selector:
        selector.register(process.stdout, selectors.EVENT_READ, printed)
        selector.register(process.stderr, selectors.EVENT_READ, complaint)
        while selector.get_map():
            ready = selector.select(max(0.0, deadline - monotonic()))
            if not ready:
                raise late
            for pipe, _ in ready:
                data = os.read(pipe.fd, 4096)
                if not data:
                    selector.unregister(pipe.fileobj)
                # Of complaints as much is kept as is told on, and then some.
                if pipe.data is printed or len(complaint) < MAX_BYTES:
                    pipe.data.extend(data)
                if len(printed) > MAX_BYTES:
                    raise _Failed(f"printed more than {MAX_BYTES} bytes")
    try:
        process.wait(max(0.0, deadline - monotonic()))
    except subprocess.TimeoutExpired:
        raise late from None
    return bytes(printed), bytes(complaint)


def _end(process: "subprocess.Popen[bytes]") -> None:
    # Unless it has ended, and left nothing behind.
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)


def _excerpt(complaint: bytes) -> str:
    """One line of what may be many, with nothing in it that a terminal would act on."""
    text = complaint.decode("utf-8", "replace")
    line = " ".join("".join(char if char.isprintable() else " " for char in text).split())
    if not line:
        return "it does not say why"
    return line if len(line) <= EXCERPT_CHARS else f"{line[:EXCERPT_CHARS]}..."
