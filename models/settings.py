"""Settings come from the environment, prefix MPANEL_; each process declares its own.

A missing or wrong one is a refusal to start which names the setting and what it is
for. Values never appear in it.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from enum import Enum
from typing import Any, Self
from urllib.parse import unquote

from pydantic import SecretStr, ValidationError
from pydantic_settings import BaseSettings, SettingsConfigDict

from models.redaction import keep_out

PREFIX = "MPANEL_"
# Not by urlsplit, which refuses some addresses that others read.
_LOGIN = re.compile(r"://[^:/@]*:(.+)@")


@dataclass(frozen=True)
class Setting:
    """What people are told of one. `default`: None for none, or a secret."""

    name: str
    purpose: str
    required: bool
    default: str | None


class SettingsRefused(Exception):
    """The message has one line per setting that is missing or wrong."""


class Settings(BaseSettings):
    """Base of each process' settings. A field's description says what it is for."""

    model_config = SettingsConfigDict(
        env_prefix=PREFIX,
        env_ignore_empty=True,
        extra="ignore",
        frozen=True,
        hide_input_in_errors=True,
    )

    def model_post_init(self, _: Any, /) -> None:
        """What is secret here is told by no log, error or mail of this process."""
        for _name, value in self:
            if isinstance(value, SecretStr):
                keep_out(_secrets(value.get_secret_value()))

    @classmethod
    def from_environment(cls, **given: Any) -> Self:
        """Reads them all; `given` wins. Raises `SettingsRefused`."""
        try:
            return cls(**given)
        except ValidationError as error:
            lines = [cls._complaint(dict(found)) for found in error.errors()]
        raise SettingsRefused("\n".join(lines))

    @classmethod
    def described(cls) -> Iterator[Setting]:
        """Each of them, in the order of the class."""
        for name, field in cls.model_fields.items():
            given = None if field.is_required() else field.default
            if given in (None, "") or isinstance(given, SecretStr):
                default = None
            else:
                default = f"{given.value if isinstance(given, Enum) else given}"
            yield Setting(
                name=PREFIX + name.upper(),
                purpose=field.description or "",
                required=field.is_required(),
                default=default,
            )

    @classmethod
    def _complaint(cls, found: dict[str, Any]) -> str:
        name = str(found["loc"][0]) if found["loc"] else ""
        field = cls.model_fields.get(name)
        purpose = (field.description if field else None) or ""
        setting = PREFIX + name.upper()
        if found["type"] == "missing":
            return f"{setting} is missing: {purpose}"
        return f"{setting} is wrong ({found['msg']}): {purpose}"


def _secrets(text: str) -> Iterator[str]:
    """The whole, and what somebody might repeat alone: an address's password, a key
    of several."""
    yield text
    if login := _LOGIN.search(text):
        yield from (login[1], unquote(login[1]))
    elif "://" not in text:
        yield from (key.partition(":")[2].strip() for key in text.split(","))
