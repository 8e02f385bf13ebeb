"""/api/auth/totp: an authenticator app as second factor; /api/auth/step-up."""

from fastapi import APIRouter
from pydantic import Field

from api.deps import AnySession, PlatformRows, Secrets, SignedIn
from api.mpanel.auth import Code
from api.schemas import CamelModel, Timestamp, failures
from api.services import second_factors

router = APIRouter(prefix="/auth", tags=["auth"])

_PROVES = failures(400, 401, 409, 413, 429)


class StandingOut(CamelModel):
    """`freshUntil`: until then an abort or a refund wants no code."""

    enabled: bool
    demanded: bool
    confirmed_at: Timestamp | None
    recovery_codes_left: int
    fresh_until: Timestamp | None


class EnrolIn(CamelModel):
    password: str = Field(min_length=1, max_length=1024)


class EnrolmentOut(CamelModel):
    """Shown this once. `otpauthUri` is what a QR code for the app holds."""

    secret: str
    otpauth_uri: str


class CodeIn(CamelModel):
    code: Code


class RecoveryCodesOut(CamelModel):
    """Shown this once; each works once."""

    recovery_codes: list[str]


class FreshOut(CamelModel):
    fresh_until: Timestamp


@router.get("/totp", responses=failures(401))
async def standing(actor: AnySession, rows: PlatformRows) -> StandingOut:
    """How the caller's second factor stands."""
    return StandingOut.model_validate(await second_factors.standing(rows, actor))


@router.post("/totp", status_code=201, responses=_PROVES)
async def enrol(
    body: EnrolIn, actor: AnySession, rows: PlatformRows, vault: Secrets
) -> EnrolmentOut:
    """A new secret for an authenticator app. It counts once a code confirms it."""
    return EnrolmentOut.model_validate(
        await second_factors.enrol(rows, vault, actor, password=body.password)
    )


@router.post("/totp/confirm", responses=_PROVES)
async def confirm(
    body: CodeIn, actor: AnySession, rows: PlatformRows, vault: Secrets
) -> RecoveryCodesOut:
    """The app's first code. From now on a login wants one."""
    codes = await second_factors.confirm(rows, vault, actor, code=body.code)
    return RecoveryCodesOut(recovery_codes=codes)


@router.post("/totp/recovery-codes", responses=failures(401, 403, 409))
async def renew_recovery_codes(actor: SignedIn, rows: PlatformRows) -> RecoveryCodesOut:
    """Ten new recovery codes; those before stop working. Wants a fresh code."""
    codes = await second_factors.renew_recovery_codes(rows, actor)
    return RecoveryCodesOut(recovery_codes=codes)


@router.delete("/totp", status_code=204, responses=failures(401, 403, 409))
async def disable(actor: SignedIn, rows: PlatformRows) -> None:
    """Remove the second factor. Wants a fresh code."""
    await second_factors.disable(rows, actor)


@router.post("/step-up", responses=_PROVES)
async def step_up(
    body: CodeIn, actor: AnySession, rows: PlatformRows, vault: Secrets
) -> FreshOut:
    """Prove the second factor again; aborts and refunds want it ten minutes fresh."""
    until = await second_factors.step_up(rows, vault, actor, code=body.code)
    return FreshOut(fresh_until=until)
