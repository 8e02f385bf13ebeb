"""The doctor asks more of Proxmox than an answer: rights that suffice, templates."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from fakepve.shapes import ROLES
from pydantic import SecretStr
from simulators import proxmox

from models.database import Database
from models.seed import seed_catalogue, seed_cluster
from models.tenants import MIGRAHOSTING
from tests.world import PVE_SECRET, PVE_TOKEN, VAULT_KEY
from workers.doctor.cluster import look
from workers.doctor.lines import Line, Outcome
from workers.doctor.settings import DoctorSettings

ARCHIVE = "local:vztmpl/debian-13-standard_13.1-1_amd64.tar.zst"


@pytest.fixture
async def simulator(tmp_path: Path) -> AsyncIterator[proxmox.Proxmox]:
    given = {"port": 0, "token_id": PVE_TOKEN, "token_secret": PVE_SECRET}
    made = proxmox.build(given, tmp_path)
    await made.start()
    yield made
    await made.stop()


@pytest.fixture
async def settings(simulator: proxmox.Proxmox, db: Database) -> DoctorSettings:
    async with db.platform() as session:
        await seed_catalogue(session, MIGRAHOSTING)
        await seed_cluster(session)
        await session.commit()
    return DoctorSettings.model_construct(
        database_url=SecretStr(db.url),
        encryption_keys=SecretStr(VAULT_KEY),
        proxmox_url=simulator.api_url,
        proxmox_token_id=PVE_TOKEN,
        proxmox_token_secret=SecretStr(PVE_SECRET),
        proxmox_ca_file=simulator.ca_file,
    )


async def told(settings: DoctorSettings) -> dict[str, Line]:
    return {line.name: line async for line in look(settings)}


async def test_a_token_with_every_right_and_all_templates_is_well(
    settings: DoctorSettings,
) -> None:
    found = await told(settings)

    assert {"reached", "rights", "pve1", "debian-13", ARCHIVE} <= found.keys()
    assert {line.outcome for line in found.values()} == {Outcome.OK}, found


async def test_a_token_that_may_only_look_is_told_what_it_lacks(
    settings: DoctorSettings, simulator: proxmox.Proxmox
) -> None:
    simulator.cluster.grant(PVE_TOKEN, "/", *ROLES["PVEAuditor"])

    found = await told(settings)

    assert found["reached"].outcome is Outcome.OK
    assert found["rights"].outcome is Outcome.FAILURE
    for right in ("VM.Clone", "VM.PowerMgmt", "VM.Config.Disk", "VM.Console"):
        assert right in found["rights"].said
    assert "VM.Audit" not in found["rights"].said
    assert "pveum role modify" in found["rights"].advice


async def test_a_cluster_whose_firewall_is_off_is_told(
    settings: DoctorSettings, simulator: proxmox.Proxmox
) -> None:
    simulator.cluster.firewall_config("cluster")["options"] = {}

    found = await told(settings)

    assert found["firewall"].outcome is Outcome.FAILURE
    assert "one may take another's address" in found["firewall"].said
    assert "pvesh set /cluster/firewall/options" in found["firewall"].advice


async def test_a_template_that_the_catalogue_sells_and_nobody_has_is_told(
    settings: DoctorSettings, simulator: proxmox.Proxmox
) -> None:
    simulator.cluster.guest(9000).template = False
    simulator.cluster.storages["local"]["volumes"].clear()

    found = await told(settings)

    assert found["debian-13"].outcome is Outcome.FAILURE
    assert "the cluster has no such template" in found["debian-13"].said
    assert found[ARCHIVE].outcome is Outcome.FAILURE
    assert "pve1, pve2, pve3" in found[ARCHIVE].said
    assert "pveam download" in found[ARCHIVE].advice
