"""What bodies are made of. A signed one is read as bytes first, then as a shape."""

from typing import Annotated, TypeVar

from fastapi.exceptions import RequestValidationError
from pydantic import BaseModel, StringConstraints, ValidationError

Body = TypeVar("Body", bound=BaseModel)

# One line of text: PostgreSQL stores no NUL, and nobody is named by a line break.
Text = Annotated[
    str,
    StringConstraints(
        min_length=1,
        max_length=200,
        pattern=r"^[^\x00-\x1f\x7f]+$",
    ),
]


def parsed(shape: type[Body], raw: bytes) -> Body:
    """What the bytes mean. Raises `RequestValidationError`, as a route's own body."""
    try:
        return shape.model_validate_json(raw)
    except ValidationError as refused:
        raise RequestValidationError(
            [{**one, "loc": ("body", *one["loc"])} for one in refused.errors()]
        ) from None
