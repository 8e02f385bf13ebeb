"""What bodies are made of. A signed one is read as bytes first, then as a shape."""

from typing import Annotated, TypeVar

from fastapi.exceptions import RequestValidationError
from pydantic import BaseModel, Field, StringConstraints, ValidationError

from models.ssh_keys import MOST_KEYS

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

# Lines of `authorized_keys`; `models.ssh_keys` says which.
SshKeys = Annotated[tuple[str, ...], Field(max_length=MOST_KEYS)]


def parsed(shape: type[Body], raw: bytes) -> Body:
    """What the bytes mean. Raises `RequestValidationError`, as a route's own body."""
    try:
        return shape.model_validate_json(raw)
    except ValidationError as refused:
        raise RequestValidationError(
            [{**one, "loc": ("body", *one["loc"])} for one in refused.errors()]
        ) from None
