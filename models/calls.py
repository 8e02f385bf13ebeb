"""How many calls somebody has made within their minute."""

from datetime import datetime
from typing import Final

from sqlmodel import Field, SQLModel

from models.base import moment

# A minute begins with a caller's first call, and the next one after it has ended.
WINDOW_SECONDS: Final = 60


class CallCount(SQLModel, table=True):
    """Unlogged: a crash of the server forgets a minute, and spares the disk."""

    __tablename__ = "call_counts"
    __table_args__ = {"prefixes": ["UNLOGGED"]}

    key: str = Field(primary_key=True)
    ends_at: datetime = moment()
    hits: int
