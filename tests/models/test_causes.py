"""Whatever fails, there are words for it: no provider and no code without a cause."""

import ast
from collections.abc import Iterator
from itertools import product
from pathlib import Path

import pytest

from models.causes import CAUSES, Cause, Signs, Suggestion
from models.states import ErrorClass, Reason

ROOT = Path(__file__).parents[2]
ERRORS = {
    "ProviderDown": ErrorClass.DOWN,
    "ProviderRejected": ErrorClass.REJECTED,
    "ProviderConflict": ErrorClass.CONFLICT,
}
REASONS = {
    ErrorClass.DOWN: Reason.OUT_OF_PATIENCE,
    ErrorClass.THROTTLED: Reason.OUT_OF_PATIENCE,
    ErrorClass.REJECTED: Reason.REJECTED,
    ErrorClass.CONFLICT: Reason.CONFLICT,
}


def _trees() -> dict[str, ast.Module]:
    """Every module below `activities`, by its dotted name."""
    return {
        ".".join(path.relative_to(ROOT).with_suffix("").parts): ast.parse(
            path.read_text()
        )
        for path in sorted((ROOT / "activities").rglob("*.py"))
    }


TREES = _trees()


def _constant(node: ast.stmt, name: str) -> ast.expr | None:
    """What stands after `name = ` or `name: ... = `."""
    match node:
        case ast.Assign(targets=[ast.Name(id=found)], value=value):
            return value if found == name else None
        case ast.AnnAssign(target=ast.Name(id=found), value=value):
            return value if found == name else None
    return None


def _provider_of(module: str) -> str | None:
    """What PROVIDER is there, also if it comes from another module."""
    for node in TREES[module].body:
        if isinstance(value := _constant(node, "PROVIDER"), ast.Constant):
            return str(value.value)
        match node:
            case ast.ImportFrom(module=str(source), names=names):
                if any(one.name == "PROVIDER" for one in names):
                    return _provider_of(source)
    return None


def _constants(call: ast.Call) -> Iterator[str]:
    """The codes that stand there; those that are put together are told by class."""
    for one in call.keywords:
        if one.arg == "code" and not any(
            isinstance(node, ast.JoinedStr) for node in ast.walk(one.value)
        ):
            for node in ast.walk(one.value):
                if isinstance(node, ast.Constant) and isinstance(node.value, str):
                    yield node.value


def _by_words(module: str) -> Iterator[tuple[ErrorClass, str]]:
    """The tables from a provider's words to our codes."""
    tables = {"_TRANSIENT": ErrorClass.DOWN, "_PERMANENT": ErrorClass.REJECTED}
    for node, (name, kind) in product(TREES[module].body, tables.items()):
        if (table := _constant(node, name)) is not None:
            yield from ((kind, code) for _, code in ast.literal_eval(table))


def _raised(module: str) -> Iterator[tuple[str, ast.Call]]:
    """(provider, call) of every error that names its provider."""
    for call in ast.walk(TREES[module]):
        match call:
            case ast.Call(func=ast.Name(id=error), args=[first, *_]) if error in ERRORS:
                match first:
                    case ast.Constant(value=name):
                        yield str(name), call
                    case ast.Name(id="PROVIDER"):
                        provider = _provider_of(module)
                        assert provider, f"{module}: whose PROVIDER is it?"
                        yield provider, call


def providers() -> set[str]:
    """Every name under which the code raises errors of a provider."""
    named = {_provider_of(module) for module in TREES}
    raised = {provider for module in TREES for provider, _ in _raised(module)}
    return {name for name in named | raised if name}


def codes() -> set[tuple[str, ErrorClass, str]]:
    """(provider, class, code) wherever one call, or a table of words, names all."""
    found: set[tuple[str, ErrorClass, str]] = set()
    for module in TREES:
        for provider, call in _raised(module):
            kind = ERRORS[call.func.id]  # type: ignore[attr-defined]
            found |= {(provider, kind, code) for code in _constants(call)}
        for kind, code in _by_words(module):
            provider = _provider_of(module)
            assert provider, module
            found.add((provider, kind, code))
    return found


def test_the_code_is_read_rightly() -> None:
    assert {
        "stripe",
        "hosting",
        "powerdns",
        "backup_store",
        "mail",
        "web",
        "proxmox",
        "temporal",
    } <= providers()
    assert {
        ("hosting", ErrorClass.CONFLICT, "site_exists"),
        ("hosting", ErrorClass.REJECTED, "archive"),
        ("proxmox", ErrorClass.REJECTED, "tls"),
        ("proxmox", ErrorClass.REJECTED, "protected"),
        ("proxmox", ErrorClass.REJECTED, "template_missing"),
        ("proxmox", ErrorClass.REJECTED, "backup_missing"),
        ("proxmox", ErrorClass.CONFLICT, "vmid_taken"),
    } <= codes()


@pytest.mark.parametrize(
    ("provider", "kind"), list(product(sorted(providers()), ErrorClass))
)
def test_every_provider_and_class_has_a_cause_in_its_own_words(
    provider: str, kind: ErrorClass
) -> None:
    cause = CAUSES.of(Signs(REASONS[kind], provider, kind, "a code of tomorrow"))

    whole(cause)
    known = CAUSES.known_as(provider)
    assert cause.id.startswith(f"{known}."), f"add a cause for {provider} x {kind}"


@pytest.mark.parametrize(("provider", "kind", "code"), sorted(codes()))
def test_every_code_that_a_client_gives_is_told_apart_or_known_to_be_general(
    provider: str, kind: ErrorClass, code: str
) -> None:
    whole(CAUSES.of(Signs(REASONS[kind], provider, kind, code)))
    assert CAUSES.knows_code(provider, kind, code) or code in GENERAL, (
        f"{provider} {kind} {code}: write a cause, or say here that its class will do"
    )


# Nothing more can be said of these than of their class; the provider's words stand by.
GENERAL = {
    *("network", "clpctl", "garbage", "marker_missing", "record_exists"),
    *("node_away", "no_node"),
}


@pytest.mark.parametrize("reason", list(Reason))
def test_every_reason_has_a_cause_of_its_own(reason: Reason) -> None:
    for code in ("", "a code of tomorrow"):
        whole(CAUSES.of(Signs(reason, code=code)))
    assert CAUSES.of(Signs(reason)).id.removeprefix("name_") == reason


def test_a_provider_of_tomorrow_is_told_in_the_words_of_its_class() -> None:
    cause = CAUSES.of(
        Signs(Reason.REJECTED, "cloudflare", ErrorClass.REJECTED, "quota")
    )

    assert cause.id == "cloudflare:rejected.quota"
    assert cause.title == "A quota at Cloudflare is used up"
    whole(CAUSES.of(Signs("a reason of tomorrow", "new", "a class of tomorrow", "x")))


@pytest.mark.parametrize(
    "told_apart",
    [
        {
            ("hosting", "rejected", "key_refused"),
            ("hosting", "rejected", "host_key"),
            ("hosting", "rejected", "disk_full"),
            ("hosting", "rejected", "quota"),
            ("hosting", "rejected", "clpctl"),
            ("hosting", "conflict", "site_exists"),
            ("hosting", "conflict", "site_ours"),
            ("hosting", "throttled", "throttled"),
            ("hosting", "down", "network"),
        },
        {
            ("powerdns", "rejected", "http_401"),
            ("powerdns", "rejected", "http_422"),
            ("powerdns", "conflict", "record_exists"),
            ("powerdns", "conflict", "record_ours"),
            ("powerdns", "throttled", "throttled"),
        },
        {
            ("backup_store", "rejected", "disk_full"),
            ("backup_store", "rejected", "key_refused"),
            ("backup_store", "rejected", "host_key"),
        },
        {
            ("proxmox", "rejected", "template_missing"),
            ("proxmox", "rejected", "task_failed"),
            ("proxmox", "rejected", "protected"),
            ("proxmox", "rejected", "unsupported"),
            ("proxmox", "rejected", "absent"),
            ("proxmox", "rejected", "http_403"),
            ("proxmox", "rejected", "tls"),
            ("proxmox", "conflict", "vmid_taken"),
            ("proxmox", "down", "quorum"),
            ("proxmox", "down", "lock"),
            ("proxmox", "down", "agent"),
            ("proxmox", "down", "network"),
        },
    ],
)
def test_what_calls_for_another_act_is_another_cause(
    told_apart: set[tuple[str, str, str]],
) -> None:
    causes = {CAUSES.of(Signs("provider_rejected", *signs)).id for signs in told_apart}

    assert len(causes) == len(told_apart)


def test_payments_are_told_apart_by_what_is_wrong_with_them() -> None:
    wrong = ("too_much", "too_little", "other_currency", "several", "claimed", "")
    causes = {
        CAUSES.of(Signs(Reason.PAYMENT_AMBIGUOUS, code=code)).id for code in wrong
    }

    assert len(causes) == len(wrong)


def test_no_room_is_told_apart_by_what_there_is_none_of() -> None:
    lacks = ("memory", "addresses", "vmids", "")
    causes = {CAUSES.of(Signs(Reason.NO_CAPACITY, code=code)).id for code in lacks}

    assert len(causes) == len(lacks)


def test_a_stuck_undo_is_never_aborted_or_skipped_again() -> None:
    for signs in _all_signs():
        cause = CAUSES.of(Signs(*signs, undoing=True))
        whole(cause)
        assert cause.id.startswith("undo:")
        if signs[1] != "stripe":  # of a refund, nothing else is left to take back
            assert cause.act in (Suggestion.RETRY, Suggestion.WAIT)


def test_a_refund_that_stripe_refuses_for_good_is_told_how_it_goes_on() -> None:
    for code in ("charge_already_refunded", "charge_disputed", "http_400"):
        signs = Signs(Reason.REJECTED, "stripe", "rejected", code, undoing=True)
        cause = CAUSES.of(signs)
        whole(cause)
        assert cause.title.startswith("Refund stuck: ")
        assert "skip" in cause.advice


def whole(cause: Cause) -> None:
    """Every word is there, as sentences, with no gap left open."""
    texts = [cause.title, cause.means, cause.origin, *cause.checks, cause.advice]
    assert all(text.strip() and "{" not in text for text in texts), cause
    assert cause.checks
    assert not cause.title.endswith(".")
    assert cause.means.count(".") >= (1 if cause.id == "job_ended" else 2) or (
        ";" in cause.means
    ), f"{cause.id}: say in two sentences what it means"
    assert cause.advice.endswith(".")


def _all_signs() -> Iterator[tuple[str, str, str, str]]:
    for provider, kind in product(providers(), ErrorClass):
        yield (REASONS[kind], provider, kind, "")
    for reason in Reason:
        yield (reason, "", "", "")
