"""`mpanel audit`: a word for people, an exit code for cron."""

from pathlib import Path

import psycopg

from models.database import Database
from tests.cli.mpanel import mpanel
from tests.conftest import Cluster
from tests.workers.test_audit import tell
from workers.dev.postgres import SUPERUSER


async def test_a_log_is_anchored_verified_and_found_cut(
    db: Database, app_url: str, cluster: Cluster, database_name: str, tmp_path: Path
) -> None:
    for number in range(3):
        await tell(db, number)
    file = tmp_path / "anchors"

    assert mpanel(app_url, "audit", "anchor", str(file)).returncode == 0
    printed = mpanel(app_url, "audit", "anchor")
    with file.open("a") as kept:
        kept.write(printed.stdout)
    good = mpanel(app_url, "audit", "verify", "--anchor", str(file))
    assert (good.returncode, good.stderr) == (0, "")
    assert good.stdout == (
        "3 rows of 1 tenants were read, 2 anchors held against them: all as written\n"
    )

    with psycopg.connect(cluster.url(SUPERUSER, database_name)) as superuser:
        superuser.execute("delete from audit_events where seq = 2")
    bad = mpanel(app_url, "audit", "verify")
    assert bad.returncode == 1
    assert "00000000-0000-4000-8000-000000000001 row 2: removed\n" in bad.stdout

    file.write_text(file.read_text().replace("[3,", "[2,"))
    forged = mpanel(app_url, "audit", "verify", "--anchor", str(file))
    assert forged.returncode == 1
    assert "line 1 is no anchor that we signed" in forged.stderr
    assert "0 anchors held against them: 1 faults" in forged.stdout
