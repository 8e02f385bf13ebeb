"""Settings come from the environment, prefix MPANEL_; each process declares its own.

A missing or wrong one is a refusal to start which names the setting and what it is
for. Values never appear in it.
"""

from typing import Any, Self

from pydantic import ValidationError
from pydantic_settings import BaseSettings, SettingsConfigDict

PREFIX = "MPANEL_"


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

    @classmethod
    def from_environment(cls, **given: Any) -> Self:
        """Reads them all; `given` wins. Raises `SettingsRefused`."""
        try:
            return cls(**given)
        except ValidationError as error:
            lines = [cls._complaint(dict(found)) for found in error.errors()]
        raise SettingsRefused("\n".join(lines))

    @classmethod
    def _complaint(cls, found: dict[str, Any]) -> str:
        name = str(found["loc"][0]) if found["loc"] else ""
        field = cls.model_fields.get(name)
        purpose = (field.description if field else None) or ""
        setting = PREFIX + name.upper()
        if found["type"] == "missing":
            return f"{setting} is missing: {purpose}"
        return f"{setting} is wrong ({found['msg']}): {purpose}"
