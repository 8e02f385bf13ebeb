"""Forty secrets go in by their own doors; none of them comes out by any other."""

import random

import pytest

from models.database import Database
from models.tenants import MIGRAHOSTING
from tests.canaries.orders import BUYER, SPENT, orders_are_fulfilled
from tests.canaries.outlets import dump, histories, mails
from tests.canaries.people import people_come_in, programs_call
from tests.canaries.planted import nowhere
from tests.canaries.scene import Scene
from tests.canaries.strangers import VISIBLE, strangers_try
from tests.conftest import Cluster
from tests.fuzz.calls import existing
from tests.fuzz.things import ids
from workers.dev import postgres as embedded


# The mail server of the test warns of what it does itself when somebody logs in.
@pytest.mark.filterwarnings("ignore:Session.login_data:DeprecationWarning")
@pytest.mark.timeout(600)
async def test_forty_planted_secrets_are_found_nowhere(
    scene: Scene,
    db: Database,
    cluster: Cluster,
    database_name: str,
    owner_url: str,
    capfd: pytest.CaptureFixture[str],
) -> None:
    boss = await people_come_in(scene, db)
    await programs_call(scene, boss)
    await strangers_try(scene)
    await orders_are_fulfilled(scene, boss)
    await everything_is_read(scene, boss, owner_url)

    places = await all_that_came_out(scene)
    places |= dump(cluster.url(embedded.SUPERUSER, database_name))
    places["standard output"], places["standard error"] = capfd.readouterr()
    kept, planted = len(scene.planted), scene.planted
    assert kept >= 40
    assert [one for one in nowhere(planted, places) if not spent(one)] == []

    # The search finds what is there, in each kind of place.
    planted.keep("a request's id", VISIBLE)
    planted.keep("a customer's address", BUYER)
    planted.keep("an order's id", str(scene.orders[0]))
    seen = {one.partition(":")[0] for one in nowhere(planted, places)}
    assert "a request's id in log" in seen
    assert any(one.startswith("a customer's address in mail") for one in seen)
    assert "a customer's address in table customers" in seen
    assert any(one.startswith("an order's id in history of") for one in seen)
    assert any(one.startswith("an order's id in answer") for one in seen)
    assert any(one.startswith("an order's id in webhook") for one in seen)


def spent(found: str) -> bool:
    """What somebody has sent by the Temporal UI is kept by Temporal in that run's own
    history; such a code is worth nothing then."""
    return found.startswith(f"{SPENT} in history of website_provision:")


async def all_that_came_out(scene: Scene) -> dict[str, str]:
    """By what it is; the database is not among it."""
    port = scene.settings.metrics_port
    metrics = await scene.shown.get(f"http://127.0.0.1:{port}/metrics")
    assert "mpanel_" in metrics.text
    return {
        "log": scene.lines.text,
        "metrics": metrics.text,
        **{f"answer {at}": one for at, one in enumerate(scene.answers)},
        **{
            f"webhook {at}": f"{one.headers}\n{one.body.decode()}"
            for at, one in enumerate(scene.hooks)
        },
        **mails(scene.here.providers.mail.store.each("message")),
        **await histories(scene.here.client),
    }


async def everything_is_read(
    scene: Scene, boss: dict[str, str], owner_url: str
) -> None:
    """Every GET of the document, of the console, too, about what exists."""
    known, dice = ids(owner_url, MIGRAHOSTING), random.Random(7)
    document = (await scene.api.get("/openapi.json")).json()["paths"]
    for path in (one for one in document if "get" in document[one]):
        if path.endswith("/events"):
            continue
        about = [existing(path, known, dice)] if "{id}" in path else [""]
        if "/jobs/{id}" in path or "/inbox/{id}" in path:
            about = known["jobs"]
        for each in about:
            await scene.api.get(path.replace("{id}", each), headers=boss)
    scene.api.cookies.update(scene.shown.cookies)
    assert (await scene.api.get("/console/inbox")).status_code == 200
    for job in known["jobs"]:
        assert (await scene.api.get(f"/console/inbox/{job}")).status_code == 200
