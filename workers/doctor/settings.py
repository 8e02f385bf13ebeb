"""Every setting of worker, API and migration, as far as it is there."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from pydantic import Field, SecretStr, ValidationError

from models.settings import PREFIX
from workers.settings import WorkerSettings

STAND_IN = "-"
# Those of the web process: on a machine that runs workers alone they are not missed.
OF_THE_API = ("secret_key", "order_webhook_secret", "stripe_webhook_secret")


class DoctorSettings(WorkerSettings):
    """The worker's, and what the other processes are told."""

    secret_key: SecretStr = Field(description="signs sessions and tokens")
    order_webhook_secret: SecretStr = Field(
        description="shared with the marketing site, signs its orders"
    )
    stripe_webhook_secret: SecretStr = Field(
        description="Stripe's signing secret of our webhook endpoint"
    )
    second_factor: str = Field(
        default="operators", description="of whom an authenticator app is demanded"
    )


@dataclass(frozen=True)
class Given:
    """`settings` holds stand-ins for what is `absent`: nobody may read those."""

    settings: DoctorSettings
    absent: dict[str, str]

    @classmethod
    def from_environment(cls) -> "Given":
        """Reads what is there; never raises for what is not."""
        try:
            return cls(DoctorSettings(), {})
        except ValidationError as error:
            absent = dict(_complaints(error))
        fields = DoctorSettings.model_fields
        stand_ins: dict[str, Any] = {
            name: STAND_IN if fields[name].is_required() else fields[name].default
            for name in absent
        }
        return cls(DoctorSettings.from_environment(**stand_ins), absent)


def _complaints(error: ValidationError) -> Iterator[tuple[str, str]]:
    for found in error.errors():
        name = str(found["loc"][0])
        yield name, DoctorSettings._complaint(dict(found))


def setting(name: str) -> str:
    """As it is called in the environment."""
    return PREFIX + name.upper()
