"""/api/alert-rules: when operators are alerted, for the whole platform."""

from typing import Annotated

from fastapi import APIRouter, Path
from pydantic import Field

from api.bodies import Text
from api.deps import Platform, Rows
from api.schemas import ACTS, SIGNED_IN, CamelModel
from api.services import alerts
from models.alert_rules import Rule
from models.queries import alert_rules
from models.states import Severity

router = APIRouter(prefix="/alert-rules", tags=["alerts"])


class RuleIn(CamelModel):
    """What both numbers mean for a rule is said in `models/alert_rules.toml`."""

    enabled: bool = True
    severity: Severity
    threshold: int = Field(ge=1, le=1_000_000)
    seconds: int = Field(ge=0, le=31_536_000)


class RuleOut(RuleIn):
    """`changedBy` is null for a rule as it came."""

    name: str
    changed_by: str | None


class RulesOut(CamelModel):
    items: list[RuleOut]


@router.get("", responses=SIGNED_IN)
async def list_rules(_: Platform, rows: Rows) -> RulesOut:
    """Every rule, by name."""
    rules = await alert_rules.in_force(rows)
    return RulesOut(
        items=[RuleOut.model_validate(rules[name]) for name in sorted(rules)]
    )


@router.put("/{name}", responses=ACTS)
async def change_rule(
    name: Annotated[Text, Path()], body: RuleIn, actor: Platform, rows: Rows
) -> RuleOut:
    """Have operators alerted otherwise; the worker follows within seconds."""
    rule = Rule(name, body.severity, body.threshold, body.seconds, body.enabled)
    return RuleOut.model_validate(await alerts.change_rule(rows, actor, rule))
