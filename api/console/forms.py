"""What a page's form sent."""

from collections.abc import Mapping
from typing import Annotated, Final, TypeVar
from urllib.parse import parse_qsl

from fastapi import Depends, Request
from pydantic import BaseModel, ConfigDict, ValidationError
from starlette.exceptions import HTTPException

from models.errors import Invalid

_MOST_FIELDS: Final = 50
_FORM: Final = "application/x-www-form-urlencoded"

Shape = TypeVar("Shape", bound=BaseModel)


class FormModel(BaseModel):
    """An empty field was not filled in; spaces around a word mean nothing."""

    model_config = ConfigDict(str_strip_whitespace=True)


async def _sent(request: Request) -> Mapping[str, str]:
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind != _FORM:
        raise HTTPException(415, "this page takes a form and nothing else")
    try:
        body = (await request.body()).decode()
        # Without leniency: what is not UTF-8 was sent by no browser.
        pairs = parse_qsl(body, max_num_fields=_MOST_FIELDS, errors="strict")
    except ValueError:
        raise HTTPException(400, "the form cannot be read") from None
    return dict(pairs)


Sent = Annotated[Mapping[str, str], Depends(_sent)]


def filled(shape: type[Shape], sent: Mapping[str, str]) -> Shape:
    """The form as a shape. Raises `Invalid`, which names the field."""
    try:
        return shape.model_validate(sent)
    except ValidationError as refused:
        first = refused.errors()[0]
        field = str(first["loc"][0]) if first["loc"] else "form"
        raise Invalid(field, f"{field}: {first['msg'].lower()}") from None
