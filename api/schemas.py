"""What the wire shapes of the surfaces are made of."""

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Annotated, Any, Generic, Self, TypeVar
from uuid import UUID

from fastapi import Path, Query
from pydantic import AfterValidator, BaseModel, ConfigDict, Field, field_validator
from pydantic.alias_generators import to_camel

from models.queries.slices import Slice, Window


class CamelModel(BaseModel):
    """camelCase on the wire, snake_case here; made from rows by attribute."""

    model_config = ConfigDict(
        alias_generator=to_camel, populate_by_name=True, from_attributes=True
    )


def _in_utc(moment: datetime) -> datetime:
    return moment.astimezone(UTC)


Timestamp = Annotated[datetime, AfterValidator(_in_utc)]
Id = Annotated[UUID, Path(alias="id")]

Item = TypeVar("Item")


class Page(CamelModel, Generic[Item]):
    """One page of a list. `total` counts all of it, at most 1000 beyond the page."""

    items: list[Item]
    total: int

    @classmethod
    def of(cls, rows: Slice[Any]) -> Self:
        """Each row in the shape of the list."""
        return cls.model_validate(rows)


class Paging(CamelModel):
    """`page` counts from 1."""

    page: int = Field(default=1, ge=1, le=100_000)
    page_size: int = Field(default=20, ge=1, le=100)

    @field_validator("*")
    @classmethod
    def _storable(cls, value: Any) -> Any:
        if isinstance(value, str) and "\x00" in value:
            raise ValueError("holds a NUL character, which nothing stored does")
        return value

    @property
    def window(self) -> Window:
        """The rows of the page."""
        return Window((self.page - 1) * self.page_size, self.page_size)


Paged = Annotated[Paging, Query()]


class ErrorBody(CamelModel):
    code: str = Field(examples=["NOT_FOUND"])
    message: str = Field(examples=["there is no such job"])
    details: dict[str, Any] = Field(examples=[{}])


class ErrorOut(CamelModel):
    """What every failed call answers with."""

    error: ErrorBody


_MEANINGS: Mapping[int, str] = {
    400: "The body is not JSON.",
    401: "Nobody is logged in, or the signature is wrong.",
    403: "The caller's role does not allow it.",
    404: "Unknown, or another tenant's: the two look alike.",
    409: "The state forbids it; `details` names the state or the open job.",
    413: "The body is larger than 256 KiB.",
    422: "A value is wrong; `details` names the field and what is allowed.",
    429: "Too many tries; `Retry-After` says when to come back.",
    500: "Our fault; `details.requestId` finds it in the logs.",
    503: "The database, or what the call needs, is away for the moment; try again.",
}
_ALWAYS = (422, 429, 500, 503)


def failures(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """For `responses=` of a route: what it may answer instead of its result."""
    return {
        status: {"model": ErrorOut, "description": _MEANINGS[status]}
        for status in sorted({*statuses, *_ALWAYS})
    }


def beside_a_stream(
    told: Mapping[int | str, Mapping[str, Any]],
) -> dict[int | str, dict[str, Any]]:
    """The same for a route that answers with events: its failures are JSON still.

    FastAPI would document them in the media type of the route's result.
    """
    schema = {"$ref": f"#/components/schemas/{ErrorOut.__name__}"}
    content = {"application/json": {"schema": schema}}
    return {
        status: {"description": each["description"], "content": content}
        for status, each in told.items()
    }


SIGNED_IN = failures(401, 403)
ABOUT_ONE = failures(401, 403, 404)
ACTS = failures(400, 401, 403, 404, 409, 413)
