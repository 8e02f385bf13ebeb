"""Calls every operation of the document, and holds each answer against it."""

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

import requests
import schemathesis
from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis import strategies as st
from schemathesis import Case, GenerationMode
from schemathesis.checks import not_a_server_error
from schemathesis.core.failures import FailureGroup
from schemathesis.core.transport import Response
from schemathesis.openapi import from_dict
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from tests.fuzz.calls import existing, spoil, with_known
from tests.fuzz.things import Ids

_ENVELOPE: Final = [
    not_a_server_error,
    status_code_conformance,
    content_type_conformance,
    response_headers_conformance,
]
_ALL: Final = [*_ENVELOPE, response_schema_conformance]
# What may end something comes last, so that the others find it.
_ORDER: Final = ("GET", "PUT", "PATCH", "POST", "DELETE")
_STREAM: Final = "text/event-stream"
# Answered by a worker; the fuzzed API has none, and says when to come back.
_NEEDS_A_WORKER: Final = {"POST /api/cloudpods/{id}/console"}
_SOON: Final = 60
# Generated ones would only show that nobody is let in with them.
_CREDENTIALS: Final = ("Authorization", "X-API-Key")

schemathesis.serializer.alias(["message/rfc822"], "text/plain")


@dataclass(frozen=True)
class Exchange:
    """What was asked, and what was answered, as text."""

    operation: str
    asked: str
    answer: str


@dataclass
class Caller:
    """`login` gives a fresh token, since a call may end its own login. `known`: ids
    that are put into calls."""

    name: str
    login: Callable[[], str]
    known: Ids
    heard: list[Exchange] = field(default_factory=list)


@dataclass
class Fuzzer:
    """The same calls each time for the same seed, document and rows. `found`: the first
    finding of each kind, by operation and what it is."""

    document: dict[str, Any]
    url: str
    examples: int
    seed: int
    found: dict[tuple[str, str], str] = field(default_factory=dict)

    def run(self, callers: Sequence[Caller]) -> None:
        """Every operation by every caller."""
        made = [one.ok() for one in from_dict(self.document).get_all_operations()]
        for operation in sorted(made, key=lambda one: _ORDER.index(one.method.upper())):
            cases = st.one_of(
                operation.as_strategy(generation_mode=mode) for mode in GenerationMode
            )
            for caller in callers:
                self._hold(operation.label, cases, caller)

    def _hold(self, label: str, cases: st.SearchStrategy[Case], caller: Caller) -> None:
        dice = random.Random(f"{self.seed} {label} {caller.name}")
        with requests.Session() as session:
            session.trust_env = False
            session.headers["Authorization"] = f"Bearer {caller.login()}"

            # Nothing is raised in it, so nothing is shrunk: findings are collected.
            @seed(self.seed)
            @settings(
                max_examples=self.examples,
                database=None,
                deadline=None,
                phases=[Phase.generate],
                suppress_health_check=list(HealthCheck),
            )
            @given(case=cases)
            def each(case: Case) -> None:
                answer = _send(session, self._request(case, caller, dice))
                if answer is not None:
                    self._judge(case, answer, caller)

            each()

    def _request(
        self, case: Case, caller: Caller, dice: random.Random
    ) -> dict[str, Any]:
        """The case with ids of what exists, and sometimes something odd about it."""
        if "id" in case.path_parameters and dice.random() < 0.8:
            case.path_parameters["id"] = existing(case.path, caller.known, dice)
        if isinstance(case.body, dict) and dice.random() < 0.7:
            case.body = with_known(case.body, caller.known, dice)
        case.query = with_known(dict(case.query), caller.known, dice)
        sent = case.as_transport_kwargs(base_url=self.url)
        for name in _CREDENTIALS:
            sent["headers"].pop(name, None)
        known = case.operation.definition.raw.get("parameters", ())
        queries = [one["name"] for one in known if one["in"] == "query"]
        spoil(sent, queries, dice)
        return sent

    def _judge(self, case: Case, answer: requests.Response, caller: Caller) -> None:
        operation, asked = f"{case.method} {case.path}", _asked(answer.request)
        told = f"{answer.headers} {answer.text}"
        caller.heard.append(Exchange(operation, asked, told))
        try:
            checks = _ENVELOPE if _is_stream(answer) else _ALL
            excluded = [not_a_server_error] if _nobody_there(operation, answer) else []
            case.validate_response(
                Response.from_any(answer), checks=checks, excluded_checks=excluded
            )
        except FailureGroup as group:
            for one in group.exceptions:
                what = f"{answer.status_code} {getattr(one, 'title', one)}"
                how = f"{one}\n  {caller.name}: {asked[:900]}\n  {told[:900]}"
                self.found.setdefault((operation, what), how)


def _send(session: requests.Session, sent: dict[str, Any]) -> requests.Response | None:
    """The answer; of a stream the first thing that it tells. None for what no client
    can say, or what the server does not take for HTTP."""
    try:
        answer = session.request(
            **sent, stream=True, timeout=_SOON, allow_redirects=False
        )
    except requests.exceptions.InvalidHeader:
        return None
    if _is_stream(answer):
        answer._content = next(answer.iter_content(None), b"")
        answer.close()
    assert isinstance(answer.content, bytes)
    unheard = answer.status_code == 400 and "x-request-id" not in answer.headers
    return None if unheard else answer


def _nobody_there(operation: str, answer: requests.Response) -> bool:
    waits = answer.status_code == 503 and "retry-after" in answer.headers
    return waits and operation in _NEEDS_A_WORKER


def _is_stream(answer: requests.Response) -> bool:
    return answer.headers.get("content-type", "").startswith(_STREAM)


def _asked(request: requests.PreparedRequest) -> str:
    body = request.body or b""
    words = body.decode(errors="replace") if isinstance(body, bytes) else str(body)
    return f"{request.method} {request.url} {request.headers} {words}"
