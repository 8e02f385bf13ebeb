"""An SMTP catcher: takes every mail, delivers none, and shows them.

GET /                the mails, to read
GET /messages[?to=]  the same as JSON, newest first
GET /messages/{id}   one mail, with its text and HTML
PUT /bounces         {address: "refused" | "returned"}: 550 to RCPT, or sent back later
GET /bounces         the mails that were sent back

A mail that comes twice is two effects with one key, its Message-ID: a doubled mail is
what tests look for. Refusals are 550, or 451 where trying again helps.
"""

import asyncio
import time
from email import message_from_bytes
from email.message import EmailMessage
from email.policy import default as modern
from pathlib import Path
from typing import Any

from aiosmtpd.smtp import SMTP, AuthResult, Envelope, LoginPassword, Session
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse, Response
from starlette.routing import Route

from simulators.core import Garbled, Refused, Simulator, Withheld
from simulators.mail.bounces import REFUSED, Bounces
from simulators.mail.page import list_page, message_page

NAME = "mail"
OP = "smtp DATA"


class Mail(Simulator):
    """Ledger: `mail.accepted` by Message-ID."""

    def __init__(self, settings: dict[str, Any], data_dir: Path) -> None:
        super().__init__(
            NAME,
            data_dir,
            port=settings["port"],
            routes=[
                Route("/", self._list_page),
                Route("/messages", self._list),
                Route("/messages/{id}", self._one),
                Route("/bounces", self._bounces, methods=["GET", "PUT"]),
            ],
        )
        self.bounces = Bounces(
            self.store, settings.get("bounce_url"), settings.get("bounce_secret", "")
        )
        self.smtp_port: int = settings["smtp_port"]
        self._password: str = settings.get("password", "")
        self._server: asyncio.Server | None = None

    async def start(self) -> None:
        await super().start()
        loop = asyncio.get_running_loop()
        self._server = await loop.create_server(
            lambda: SMTP(
                self,
                hostname="mail.invalid",
                enable_SMTPUTF8=True,
                loop=loop,
                authenticator=self._logs_in,
                auth_require_tls=False,
            ),
            "127.0.0.1",
            self.smtp_port,
        )
        self.smtp_port = self._server.sockets[0].getsockname()[1]

    async def stop(self) -> None:
        if self._server is not None:
            self._server.close()
        await self.bounces.stop()
        await super().stop()

    def _logs_in(
        self,
        _server: SMTP,
        _session: Session,
        _envelope: Envelope,
        _mechanism: str,
        data: LoginPassword,
    ) -> AuthResult:
        return AuthResult(
            success=data.password == self._password.encode(), handled=False
        )

    async def handle_RCPT(  # noqa: N802  # aiosmtpd's name
        self,
        _server: SMTP,
        session: Session,
        envelope: Envelope,
        address: str,
        _options: list[str],
    ) -> str:
        """Whether mail to this address is taken, and from this client."""
        if self._password and not session.authenticated:
            return "530 5.7.0 Authentication required"
        if self.bounces.addresses.get(address) == REFUSED:
            return "550 5.1.1 no such user"
        envelope.rcpt_tos.append(address)
        return "250 OK"

    async def handle_DATA(  # noqa: N802  # aiosmtpd's name
        self, server: SMTP, _session: Session, envelope: Envelope
    ) -> str:
        """One mail; the answer to its last line."""
        try:
            async with self.call(OP, envelope.mail_from or "") as call:
                content = envelope.content or b""
                raw = content if isinstance(content, bytes) else content.encode()
                mail = _mail(raw, envelope)
                with call.change():
                    mail["id"] = str(len(self.store.each("message")) + 1)
                    self.store.put("message", mail["id"], mail)
                    call.effect(
                        "mail.accepted",
                        key=mail["message_id"],
                        to=mail["to"],
                        subject=mail["subject"],
                    )
                self.bounces.send_back(mail)
                call.answer(250)
        except Refused as refused:
            again = refused.status == 429 or refused.status >= 500
            return f"{451 if again else 550} {refused.message}"
        except Garbled:
            return "\x00?? ok"
        except Withheld as withheld:
            await asyncio.sleep(withheld.seconds)
            _cut(server)
            return "421 gone"
        return f"250 OK: kept as {mail['id']}"

    def short(self, kind: str, body: dict[str, Any]) -> dict[str, Any]:  # noqa: ARG002
        return {k: v for k, v in body.items() if k not in {"text", "html", "raw"}}

    async def _list_page(self, _: Request) -> Response:
        return HTMLResponse(list_page(self._newest_first()))

    async def _list(self, request: Request) -> Response:
        to = request.query_params.get("to")
        mails = [m for m in self._newest_first() if to is None or to in m["to"]]
        return JSONResponse([self.short("message", mail) for mail in mails])

    async def _one(self, request: Request) -> Response:
        mail = self.store.find("message", request.path_params["id"])
        if mail is None:
            raise HTTPException(404)
        if "text/html" in request.headers.get("accept", ""):
            return HTMLResponse(message_page(mail))
        return JSONResponse(mail)

    async def _bounces(self, request: Request) -> Response:
        if request.method == "PUT":
            try:
                self.bounces.set(await request.json())
            except (ValueError, AttributeError) as bad:
                return JSONResponse({"error": str(bad)}, status_code=422)
        return JSONResponse(
            {"addresses": self.bounces.addresses, "returned": self.bounces.kept()}
        )

    def _newest_first(self) -> list[dict[str, Any]]:
        return self.store.each("message")[::-1]


def _cut(server: SMTP) -> None:
    if isinstance(server.transport, asyncio.WriteTransport):
        server.transport.abort()


def _mail(raw: bytes, envelope: Envelope) -> dict[str, Any]:
    message = message_from_bytes(raw, policy=modern)
    return {
        "at": time.time(),
        "from": envelope.mail_from,
        "to": list(envelope.rcpt_tos),
        # Python reads a header folded right after its name with the blank before it.
        "subject": str(message["Subject"] or "").strip(),
        "message_id": str(message["Message-ID"] or ""),
        "text": _body(message, "plain"),
        "html": _body(message, "html"),
        "raw": raw.decode("utf-8", "replace"),
    }


def _body(message: EmailMessage, kind: str) -> str | None:
    part = message.get_body((kind,))
    return None if part is None else str(part.get_content()).replace("\r\n", "\n")


def build(settings: dict[str, Any], data_dir: Path) -> Mail:
    """Settings: port, smtp_port; password, if not everybody may hand mail in;
    bounce_url and bounce_secret, if mail is sent back."""
    return Mail(settings, data_dir)
