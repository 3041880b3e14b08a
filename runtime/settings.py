"""Settings: read once from the environment, frozen. NAME_FILE may name a file that contains the secret NAME."""

import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final, Literal, get_args
from urllib.parse import unquote, urlsplit

from pydantic import BaseModel, Field, SecretStr, field_validator
from pydantic.fields import FieldInfo
from pydantic_core import PydanticCustomError
from pydantic_settings import BaseSettings, InitSettingsSource, PydanticBaseSettingsSource, SettingsConfigDict

LogLevel = Literal["debug", "info", "warning", "error"]

# A shorter secret would occur in ordinary words, and masking it would garble them.
SHORTEST_SECRET: Final = 6
_HIDDEN: Final = "…"
# libpq's URLs end a password at the first @. A / is not part of one, and all other signs are.
_OF_A_URL: Final = re.compile(r"^\w+://[^:@/]*:([^@/]*)@")
_OF_AN_OPTION: Final = re.compile(r"(?:^|[?&\s])(?:ssl)?password\s*=\s*('(?:[^'\\]|\\.)*'|[^&\s]+)")


class HasSecrets(BaseModel):
    """A model whose secrets are values. In a class of settings they may be in files, which change."""

    def read_again(self, name: str) -> SecretStr | None:
        """Return the secret *name*, newly read if it is in a file. Raises ValueError, which names the variable."""
        secret: SecretStr | None = getattr(self, name)
        return secret

    def is_in_a_file(self, name: str) -> bool:  # noqa: ARG002 - classes of settings need it
        return False


class ServiceSettings(HasSecrets, BaseSettings):
    """What every class of settings is made of: one way to read the environment, and one to read secrets from files."""

    model_config = SettingsConfigDict(frozen=True, extra="ignore", env_ignore_empty=True, hide_input_in_errors=True)

    log_level: LogLevel = Field(
        "info", description="level of the services' logs; `debug` shows the steps of each event"
    )

    @field_validator("log_level", mode="before")
    @classmethod
    def _in_any_case(cls, value: object) -> object:
        return value.lower() if isinstance(value, str) else value

    @field_validator("*", mode="before")
    @classmethod
    def _usable(cls, value: object) -> object:
        if isinstance(value, PydanticCustomError):
            raise value
        return value

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,  # noqa: ARG003 - pydantic-settings passes it by name
        file_secret_settings: PydanticBaseSettingsSource,  # noqa: ARG003 - the same
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        secrets = {name: _value(name, *named) for name, named in _named_files(settings_cls).items()}
        return init_settings, InitSettingsSource(settings_cls, secrets), env_settings

    def read_again(self, name: str) -> SecretStr | None:
        path, _ = _named_files(type(self)).get(name, ("", None))
        return _read(name, path) if path else super().read_again(name)

    def is_in_a_file(self, name: str) -> bool:
        return name in _named_files(type(self))

    @property
    def secrets(self) -> tuple[str, ...]:
        """The values that no output may contain, the longest first: each secret, and its parts, such as a URL's
        password.
        """
        secrets = [getattr(self, name) for name in secret_names(type(self))]
        values = [secret.get_secret_value() for secret in secrets if secret is not None]
        parts = {part.strip() for value in values for part in (value, *value.split(","), *_passwords(value))}
        return tuple(sorted((part for part in parts if len(part) >= SHORTEST_SECRET), key=len, reverse=True))

    def in_force(self) -> dict[str, Any]:
        """Return each setting by its variable, for display. A secret is only `set` or `not set`."""
        return {name.upper(): _shown(field, getattr(self, name)) for name, field in type(self).model_fields.items()}


def secret_names(kind: type[BaseSettings]) -> list[str]:
    """Return the names of those settings that are secrets."""
    return [name for name, field in kind.model_fields.items() if is_secret(field)]


def is_secret(field: FieldInfo) -> bool:
    return field.annotation is SecretStr or SecretStr in get_args(field.annotation)


def _value(name: str, path: str, also: str | None) -> SecretStr | PydanticCustomError:
    """Return the secret in the file, or its fault, which pydantic reports with the other settings' faults."""
    try:
        return _read(name, path, also)
    except ValueError as error:
        return PydanticCustomError("secret_file", "{why}", {"why": str(error)})


def _named_files(kind: type[BaseSettings]) -> dict[str, tuple[str, str | None]]:
    """Return, by secret, the file that NAME_FILE names and the value of NAME, if it is set too."""
    environment = {name.lower(): value for name, value in os.environ.items()}
    return {
        name: (path, environment.get(name)) for name in secret_names(kind) if (path := environment.get(f"{name}_file"))
    }


def _read(name: str, path: str, also: str | None = None) -> SecretStr:
    variable = f"{name.upper()}_FILE"
    if also:
        raise ValueError(f"{name.upper()} and {variable} are both set: set one")
    try:
        # Some editors begin a file with a byte order mark, and most end it with a newline: neither is part of a secret.
        secret = Path(path).read_text("utf-8-sig").strip("\r\n")
    except (OSError, ValueError) as error:
        raise ValueError(f"{variable}: {path} can't be read: {type(error).__name__}") from None
    if not secret.strip():
        raise ValueError(f"{variable}: {path} is empty")
    return SecretStr(secret)


def _shown(field: FieldInfo, value: Any) -> Any:
    if is_secret(field):
        return "not set" if value is None else "set"
    return without_password(value) if isinstance(value, str) else value


def without_password(value: str) -> str:
    """Return *value* without the parts that can contain a password if it is a URL."""
    try:
        url = urlsplit(value)
    except ValueError:
        return _HIDDEN
    if not (url.scheme and url.netloc):
        return value
    host = url.netloc.rpartition("@")[2]
    return url._replace(netloc=host, query=_HIDDEN if url.query else "", fragment="").geturl()


def _passwords(value: str) -> Iterator[str]:
    """Return the passwords of a URL, or of libpq's keywords and values, as they are written and as they are meant."""
    for written in (*_OF_A_URL.findall(value), *_OF_AN_OPTION.findall(value)):
        yield from (written, unquote(written), re.sub(r"\\(.)", r"\1", written.strip("'")))
