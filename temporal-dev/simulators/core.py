"""A simulator: a stand-in for a provider, with a ledger of what it did and a script of
what it shall do wrong. It works the same behind HTTP, SSH, SFTP and SMTP:

    async with sim.call("site:add", account="root") as call:   # may raise Refused...
        if sim.store.find("site", domain):
            raise Refused(409, "exists", "this site exists")   # the provider's own no
        with call.change():                                    # one transaction
            sim.store.put("site", domain, {"user": user})
            call.effect("site.created", key=domain, user=user)
        call.answer("0")                                       # for the ledger
    # Garbled and Withheld are raised here, after the effect; the answer goes out below

Entering counts the call in every fault script it matches, waits the set delays, is
held, and raises what happens *before* the effect: `Refused` (reject, fail, throttle) or
`Withheld` (kill_before). Leaving raises what happens *after* it: `Refused`
(execute_then_fail), `Garbled`, or `Withheld` (execute_then_timeout, execute_then_kill),
also when the block itself raised an error. So a server opens the call, does its work
inside, answers after the block, and words three exceptions in its protocol:

    Refused    an error answer. `status` 429 and >= 500 mean "try again", else "no".
    Garbled    an answer nobody can parse.
    Withheld   no answer: keep the line open for `seconds`, then cut it.

HTTP simulators get all this by making their routes with `simulators.http.endpoint`.
Objects, ledger, scripts and counters live in one SQLite file, `sim.store`: what was
answered survives kill -9. The body of `call.change()` must not await. Work that cannot
be in SQLite (files) is done before the change that makes it true.
"""

import asyncio
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import (
    AbstractContextManager,
    asynccontextmanager,
    contextmanager,
    suppress,
)
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

from starlette.applications import Starlette
from starlette.responses import Response
from starlette.routing import BaseRoute

from simulators.control import control_routes
from simulators.faults import (
    KILLS,
    Garbled,
    Killed,
    Refused,
    Script,
    Withheld,
    kill,
)
from simulators.http import HttpServer, refusal_as_json
from simulators.store import Store

__all__ = ["Call", "Garbled", "Killed", "Refused", "Simulator", "Withheld"]

_SLOW_SECONDS, _SILENT_SECONDS, _HELD_SECONDS = 5.0, 30.0, 60.0


class Call:
    """One call of a provider operation, from its arrival until its answer."""

    def __init__(self, store: Store, id: int, script: Script | None) -> None:
        self.id, self.status, self.answered = id, "ok", False
        self._store, self._script = store, script

    @property
    def failing_answer(self) -> Refused | None:
        """The error that will be answered although the effect happens."""
        due = self._script
        return due.refusal() if due and due.kind == "execute_then_fail" else None

    def change(self) -> AbstractContextManager[None]:
        """One transaction for state and ledger; an exception undoes both."""
        return self._store.change()

    def effect(self, effect: str, *, key: str, **detail: Any) -> None:
        """A real change, for the ledger. Reads and replays have none."""
        self._store.add_effect(effect, key, detail, self.id)

    def answer(self, status: int | str) -> None:
        """What is answered, for the ledger: an HTTP status, an exit code."""
        self.status, self.answered = str(status), True


class Simulator:
    """Has a name, a store, an HTTP port with its routes and `/_simulator/...`.

    A subclass speaks a further protocol by extending `start` and `stop`; it changes
    how errors look by overriding `refusal`, and the ledger by `short`.
    """

    def __init__(
        self, name: str, data_dir: Path, *, port: int, routes: Sequence[BaseRoute] = ()
    ) -> None:
        self.name, self.data_dir = name, data_dir
        self.store = Store(data_dir / "simulators" / f"{name}.sqlite3")
        self.app = Starlette(routes=[*control_routes(self), *routes])
        self._http = HttpServer(self.app, port)

    @property
    def port(self) -> int:
        """The HTTP port; known after `start` when 0 was asked for."""
        return self._http.port

    @property
    def url(self) -> str:
        """Where the control routes are, and the API if it is spoken over HTTP."""
        return f"http://127.0.0.1:{self.port}"

    async def start(self) -> None:
        """Listens on loopback when this returns."""
        await self._http.start()

    async def stop(self) -> None:
        """Drops withheld calls and closes."""
        await self._http.stop()
        self.store.close()

    def reset(self) -> None:
        """Forgets everything; a subclass removes its files too."""
        self.store.clear()

    def short(self, kind: str, body: dict[str, Any]) -> dict[str, Any]:  # noqa: ARG002
        """How a live object is listed in the ledger."""
        return {k: v for k, v in body.items() if not isinstance(v, dict | list)}

    def refusal(self, refused: Refused) -> Response:
        """An error in the provider's words, for HTTP."""
        return refusal_as_json(refused)

    def effect(self, effect: str, *, key: str, **detail: Any) -> None:
        """A change that no provider call made: a click, a timer."""
        self.store.add_effect(effect, key, detail, None)

    @asynccontextmanager
    async def call(self, op: str, account: str = "") -> AsyncIterator[Call]:
        """Raises Refused, Garbled and Withheld as the module's docstring tells."""
        id, script = self.store.begin_call(op, account)
        call, rescripted = Call(self.store, id, script), self.store.rescripted
        with self._noting_the_answer(call):
            await asyncio.sleep(self._delay(op, script))
            if script and script.kind == "hold":
                with suppress(TimeoutError):
                    async with asyncio.timeout(script.lasts(_HELD_SECONDS)):
                        await rescripted.wait()
            if script:
                self._fail_before(script)
            try:
                yield call
            except Exception:  # a refusal, whatever its protocol calls it
                if script:
                    self._fail_after(script)
                raise
            if script:
                self._fail_after(script)

    @contextmanager
    def _noting_the_answer(self, call: Call) -> Iterator[None]:
        try:
            yield
        except Refused as refused:
            call.answer(refused.status)
            raise
        except Withheld:
            call.answer("withheld")
            raise
        except Garbled:
            call.answer("garbled")
            raise
        except BaseException:
            if not call.answered:
                call.answer("broken")
            raise
        finally:
            self.store.end_call(call.id, call.status)

    def _delay(self, op: str, script: Script | None) -> float:
        delays: dict[str, float] = self.store.setting("delays", {})
        seconds = sum(s for pattern, s in delays.items() if fnmatchcase(op, pattern))
        if script and script.kind == "slow":
            seconds += script.lasts(_SLOW_SECONDS)
        return seconds

    def _fail_before(self, script: Script) -> None:
        refused = script.refusal()
        if refused and script.kind != "execute_then_fail":
            raise refused
        if script.kind == "kill_before":
            self._kill_and_withhold(script)

    def _fail_after(self, script: Script) -> None:
        if script.kind == "garbage":
            raise Garbled
        if script.kind == "execute_then_timeout":
            raise Withheld(script.lasts(_SILENT_SECONDS))
        if script.kind in KILLS:
            self._kill_and_withhold(script)
        if refused := script.refusal():
            raise refused

    def _kill_and_withhold(self, script: Script) -> None:
        kill(script.victim, self.data_dir)
        raise Killed(script.seconds or 0.0)
