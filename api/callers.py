"""Who calls, and whether they may: asked of the request, once, before all else."""

from contextlib import suppress
from functools import lru_cache

from fastapi import Request

from api.auth.actor import Actor
from api.auth.origin import network_of
from api.limits import BY_KEY, BY_TOKEN, Kind, Quota, kind_of
from api.parts import Parts, address_of, parts_of
from api.refusals import Refused
from api.services import api_keys
from models.api_keys import Scope, key_hash
from models.audit import Action
from models.errors import Denied, KeyInBrowser, SessionLimited, Unauthenticated
from models.logs import about
from models.queries import entries
from models.queries.entries import Call, Entered, Too
from models.users import Role

KEY_HEADER = "X-API-Key"

READERS = frozenset({Role.VIEWER, Role.OPERATOR, Role.ADMIN})

# Headers that no page can keep a browser from sending.
_OF_BROWSERS = {"origin", "sec-fetch-site"}


async def enter(request: Request, too: Too | None = None) -> Entered:
    """Asked once for every call, before all else: is it one too many, and whose is it?

    `too` is asked in the same round trip. Raises `TooMany`.
    """
    parts, kind, claims, hashed = parts_of(request), kind_of(request.scope), None, None
    if kind in BY_TOKEN and (token := _token_of(request)):
        with suppress(Unauthenticated):
            claims = parts.signer.read(token)
    if kind in BY_KEY and (key := request.headers.get(KEY_HEADER)):
        hashed = key_hash(key)
    address = address_of(request)
    call = Call(
        kind,
        address,
        network_of(address),
        claims.user_id if claims else None,
        claims.session_id if claims else None,
        hashed,
    )
    return await count(request, parts, call, too)


async def count(
    request: Request, parts: Parts, call: Call, too: Too | None = None
) -> Entered:
    """Counts the call, and tells whose it is. Raises `TooMany`."""
    kind = Kind(call.kind)
    entered = await entries.enter(parts.direct, call, too)
    if entered.key is None or Scope.UNLIMITED not in entered.key.scopes:
        Quota(kind, parts.settings.calls_a_minute(kind), entered).spend(request.scope)
    return entered


def logged_in(request: Request, entered: Entered) -> Actor:
    """Whoever the bearer token names, with the roles of this moment."""
    if not _token_of(request):
        raise Unauthenticated("send `Authorization: Bearer <token>`")
    return user_of(parts_of(request), entered)


def user_of(parts: Parts, entered: Entered) -> Actor:
    """Whose login it is. Raises `Unauthenticated` if that has ended."""
    if entered.user is None:
        raise Unauthenticated("the token is not valid, or not any more")
    user = entered.user
    about(tenant_id=user.tenant_id, caller=f"user:{user.id}")
    roles = _roles(tuple(user.roles))
    return Actor(
        "user",
        user.id,
        user.tenant_id,
        roles,
        user.email,
        user.session_id,
        user.second_factor_at,
        parts.settings.second_factor.of(roles),
    )


@lru_cache(maxsize=256)
def _roles(words: tuple[str, ...]) -> frozenset[Role]:
    return frozenset(Role(word) for word in words if word in list(Role))


def signed_in(actor: Actor) -> Actor:
    """A login with everything that is demanded of it."""
    if actor.limited:
        raise SessionLimited(
            "a second factor is demanded: prove it by POST /api/auth/step-up, or set"
            " one up by POST /api/auth/totp",
            call="POST /api/auth/step-up",
            enrol="POST /api/auth/totp",
        )
    return actor


async def key_holder(request: Request, entered: Entered) -> Actor:
    """The program that the key was given to. Raises `KeyInBrowser`: everybody who
    opens the page has it."""
    parts = parts_of(request)
    if entered.key is None:
        raise Unauthenticated("the API key is not valid, or not any more")
    actor = api_keys.holder(entered.key, parts.settings.second_factor)
    about(tenant_id=actor.tenant_id, caller=f"key:{actor.id}")
    if _OF_BROWSERS & set(request.headers):
        of_it = ("api_key", str(actor.id), "sent by a browser")
        told = Refused(actor.tenant_id, actor.by, Action.KEY_USED_IN_BROWSER, *of_it)
        await parts.refusals.count(told)
        raise KeyInBrowser(
            "an API key in a browser is known to everybody who opens the page: call"
            " from a server, and revoke this key"
        )
    return actor


async def whose(request: Request, entered: Entered) -> Actor:
    """A person by their login, or a program by its key."""
    if not request.headers.get(KEY_HEADER):
        return signed_in(logged_in(request, entered))
    if _token_of(request):
        raise Unauthenticated("send a bearer token or X-API-Key, not both")
    return await key_holder(request, entered)


def having(actor: Actor, roles: frozenset[Role]) -> Actor:
    """Lets in who has one of the roles; super_admin always."""
    allowed = roles | {Role.SUPER_ADMIN}
    if not actor.roles & allowed:
        needed = ", ".join(sorted(allowed))
        raise Denied(f"this needs one of the roles {needed}")
    return actor


def _token_of(request: Request) -> str:
    """The bearer token that was sent, or nothing."""
    scheme, _, token = request.headers.get("authorization", "").partition(" ")
    return token.strip() if scheme.lower() == "bearer" else ""
