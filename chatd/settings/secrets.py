"""Secrets that settings only point to: the files that hold them, and who else may read those."""

import os
from collections.abc import Mapping

import msgspec

from chatd.settings.base import Secret, SettingsError
from chatd.settings.model import Encryption, Settings
from chatd.settings.programs import printed_secret

CREDENTIAL = "chatd-master-keys"
"""The name under which systemd hands over the master keys (LoadCredential=, systemd.exec(5))."""

NOT_SET = "not set"


def with_secrets(settings: Settings, sources: Mapping[str, str], environ: Mapping[str, str]) -> Settings:
    """The same settings with the secrets read from their files. Raises SettingsError."""
    database, encryption = settings.database, settings.encryption
    contacts, redis = settings.contacts, settings.redis
    dsn = _one_of("database.dsn", database.dsn, database.dsn_file, sources)
    keys = _master_keys(encryption, sources) or _credential(environ)
    secret = _one_of("contacts.secret", contacts.secret, contacts.secret_file, sources)
    return msgspec.structs.replace(
        settings,
        database=msgspec.structs.replace(database, dsn=dsn),
        encryption=msgspec.structs.replace(encryption, master_keys=keys),
        contacts=msgspec.structs.replace(contacts, secret=secret),
        redis=msgspec.structs.replace(redis, url=_one_of("redis.url", redis.url, redis.url_file, sources)),
    )


def _one_of(key: str, secret: Secret, path: str, sources: Mapping[str, str]) -> Secret:
    file_key = f"{key}_file"
    if secret and path:
        raise SettingsError(key, sources[key], f"{file_key} is set too ({sources[file_key]}); give one of them")
    return read_secret(file_key, sources[file_key], path) if path else secret


def _master_keys(encryption: Encryption, sources: Mapping[str, str]) -> Secret:
    command, command_key = encryption.master_keys_command, "encryption.master_keys_command"
    if not command:
        return _one_of("encryption.master_keys", encryption.master_keys, encryption.master_keys_file, sources)
    for key in ("encryption.master_keys", "encryption.master_keys_file"):
        if key in sources and getattr(encryption, key.partition(".")[2]):
            raise SettingsError(command_key, sources[command_key], f"{key} is set too ({sources[key]}); give one")
    return printed_secret(command_key, sources[command_key], command)


def _credential(environ: Mapping[str, str]) -> Secret:
    folder = environ.get("CREDENTIALS_DIRECTORY", "")
    path = os.path.join(folder, CREDENTIAL)
    if not folder or not os.path.exists(path):
        return Secret()
    return read_secret("encryption.master_keys", f"$CREDENTIALS_DIRECTORY/{CREDENTIAL}", path)


def read_secret(key: str, source: str, path: str) -> Secret:
    """What the file holds, without the white space around it. Raises SettingsError if it is open to others."""
    refuse_open_file(key, source, path)
    try:
        with open(path, encoding="utf-8") as file:
            text = file.read().strip()
    except OSError as error:
        raise SettingsError(key, source, f"{path} cannot be read: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise SettingsError(key, source, f"{path} is not text in UTF-8") from error
    if not text:
        raise SettingsError(key, source, f"{path} is empty")
    return Secret(text)


def refuse_open_file(key: str, source: str, path: str) -> None:
    """Refuse a file with a secret in it that any user of the machine may read or write. A group may."""
    try:
        mode = os.stat(path).st_mode
    except (OSError, ValueError) as error:
        raise SettingsError(key, source, f"{path} cannot be read: {reason(error)}") from error
    if mode & 0o006:
        raise SettingsError(key, source, f"{path} holds a secret and is open to every user: chmod o= {path}")


def reason(error: OSError | ValueError) -> str:
    """Why a file cannot be opened, without its path."""
    return (error.strerror if isinstance(error, OSError) else None) or str(error)
