"""Mails that came back."""

from models.bounces import bounce_of
from models.database import Session
from models.queries import bounces


async def keep_bounce(session: Session, raw: bytes) -> bool:
    """Notes a bounce on its mail and its customer, once. False: nothing new."""
    bounce = bounce_of(raw)
    if bounce is None:
        return False
    kept = await bounces.bounced(
        session, bounce.message_id, code=bounce.code, words=bounce.words
    )
    await session.commit()
    return kept
