"""When operators are alerted: defaults in `alert_rules.toml`, changes in rows."""

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from sqlmodel import Field

from models.base import Row, word
from models.states import Severity


class AlertRuleChange(Row, table=True):
    """A rule as an admin wants it. It is the platform's: rules watch all of it."""

    __tablename__ = "alert_rules"

    name: str = Field(unique=True)
    enabled: bool = True
    severity: Severity = word()
    threshold: int
    seconds: int
    changed_by: str


@dataclass(frozen=True)
class Rule:
    """What `threshold` and `seconds` mean is said in `alert_rules.toml`."""

    name: str
    severity: Severity
    threshold: int
    seconds: int
    enabled: bool = True
    changed_by: str | None = None


def _defaults() -> Mapping[str, Rule]:
    read = tomllib.loads(Path(__file__).with_suffix(".toml").read_text())
    return {
        name: Rule(name, Severity(each["severity"]), each["threshold"], each["seconds"])
        for name, each in read.items()
    }


DEFAULTS: Final[Mapping[str, Rule]] = _defaults()
