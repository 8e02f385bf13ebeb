"""`mpanel doctor`: all well on a healthy stack; each thing that is broken for real has
its line, and the line says what to do."""

import asyncio
import http.server
import json
import os
import shutil
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import urlsplit

import psycopg
import pytest

from models.migrations.run import upgrade
from tests.conftest import free_port
from tests.dev.program import PATIENT, ROOT, until
from tests.faults.shop import Shop
from tests.faults.stand import Stand
from workers.dev.keys import public_key
from workers.dev.layout import APP_ROLE, OWNER_ROLE
from workers.dev.settings import of_stack
from workers.dev.temporal import program
from workers.doctor import providers
from workers.doctor.examine import examine, lines, probes
from workers.doctor.lines import Line, Outcome
from workers.doctor.settings import Given

Told = dict[tuple[str, str], Line]
# A stack may have to come up before, on a machine that is slow.
pytestmark = pytest.mark.timeout(400)


class Doctor:
    """Looks at the stack through settings of which a test breaks one."""

    def __init__(self, stand: Stand, environment: pytest.MonkeyPatch) -> None:
        self.stand, self._environment = stand, environment
        for name in list(os.environ):
            if name.startswith(("MPANEL_", "TEMPORAL_")):
                environment.delenv(name)
        for name, value in of_stack(stand.data_dir).items():
            environment.setenv(name, value)

    def tell(self, **changes: str | None) -> None:
        """Another value; None: none."""
        for name, value in changes.items():
            if value is None:
                self._environment.delenv(name)
            else:
                self._environment.setenv(name, value)

    def looks(self, *areas: str, **changes: str | None) -> Told:
        """What is said about these areas (all, if none is named)."""
        self.tell(**changes)
        given = Given.from_environment()
        wanted = [one for one in probes(given) if not areas or one.area in areas]
        found = asyncio.run(examine(given, wanted))
        return {(area, line.name): line for area, line in lines(found)}


@pytest.fixture(scope="module")
def stand(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stand]:
    """A stack of its own: the others risk their commits for speed, which is a fault."""
    made = Stand(tmp_path_factory.mktemp("doctor"))
    made.up()
    yield made
    made.end()


@pytest.fixture(scope="module")
def shop(stand: Stand) -> Iterator[Shop]:
    """One order is delivered, so that there is a zone and a website."""
    people = Shop(stand)
    people.completed(people.bought()[1])
    yield people
    people.close()


@pytest.fixture
def doctor(stand: Stand, shop: Shop, monkeypatch: pytest.MonkeyPatch) -> Doctor:
    return Doctor(stand, monkeypatch)


def fails(told: Told, area: str, name: str, said: str, advice: str) -> None:
    """This very line is a failure, with its advice."""
    line = told[area, name]
    assert line.outcome is Outcome.FAILURE, line
    assert said in line.said, line
    assert advice in line.advice, line


def wrong(told: Told) -> set[tuple[str, str]]:
    return {key for key, one in told.items() if one.outcome is Outcome.FAILURE}


def run(stand: Stand, *words: str) -> "subprocess.CompletedProcess[str]":
    """The command, as a person gives it."""
    clean = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(("MPANEL_", "TEMPORAL_"))
    }
    return subprocess.run(
        [sys.executable, "-m", "workers.cli", "doctor", *words],
        cwd=ROOT,
        env=clean,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


# --- a healthy stack ------------------------------------------------------------------


def test_on_a_healthy_stack_every_line_is_ok(doctor: Doctor) -> None:
    told = doctor.looks()
    deadline = time.monotonic() + PATIENT
    while bad := [one for one in told.values() if one.outcome is not Outcome.OK]:
        # A stack that has just come up is well when everybody has said so.
        assert time.monotonic() < deadline, bad
        told = doctor.looks()
    assert len(told) > 35
    assert "served by 1" in told["Temporal", "queue node-pve1"].said
    assert told["PowerDNS", "zone"].said == "sites.localhost, Native, ours to write"


def test_the_command_shows_the_list_and_ends_well(stand: Stand, shop: Shop) -> None:
    said = run(stand, "--data-dir", str(stand.data_dir))
    assert said.returncode == 0, said.stdout
    for word in ("Settings", "PostgreSQL", "Temporal", "Hosting", "queue stories"):
        assert word in said.stdout


def test_programs_read_it_as_json(stand: Stand, shop: Shop) -> None:
    said = run(stand, "--json", "--data-dir", str(stand.data_dir))
    told = json.loads(said.stdout)
    assert told["ok"] is True
    assert set(told["lines"][0]) == {"area", "name", "outcome", "said", "advice"}


def test_a_folder_without_a_stack_is_told(tmp_path: Path, stand: Stand) -> None:
    said = run(stand, "--data-dir", str(tmp_path))
    assert said.returncode == 2
    assert "mpanel dev --data-dir" in said.stderr


# --- settings -------------------------------------------------------------------------


def test_without_settings_each_is_named_and_nothing_breaks(stand: Stand) -> None:
    said = run(stand, "--json")
    told = json.loads(said.stdout)
    assert said.returncode == 1
    failed = {one["name"] for one in told["lines"] if one["outcome"] == "failure"}
    assert {"MPANEL_DATABASE_URL", "MPANEL_STRIPE_API_KEY", "MPANEL_SMTP_URL"} <= failed
    assert all(one["advice"] for one in told["lines"] if one["outcome"] == "failure")


def test_what_can_be_looked_at_is_when_half_is_missing(doctor: Doctor) -> None:
    told = doctor.looks(MPANEL_POWERDNS_API_KEY=None, MPANEL_SMTP_URL=None)
    assert wrong(told) == {
        ("Settings", "MPANEL_POWERDNS_API_KEY"),
        ("Settings", "MPANEL_SMTP_URL"),
    }
    assert told["PowerDNS", "reached"].said == "wants MPANEL_POWERDNS_API_KEY"
    assert told["Stripe", "rights"].outcome is Outcome.OK


@pytest.mark.parametrize(
    ("name", "value", "said", "advice"),
    [
        ("MPANEL_SECRET_KEY", "short", "5 characters", "openssl rand"),
        ("MPANEL_SECRET_KEY", "a" * 40, "repeats", "openssl rand"),
        ("MPANEL_SECRET_KEY", "changeme-0123456789-0123456789ab", "default", "openssl"),
        ("MPANEL_ENCRYPTION_KEYS", f"v1:{'A' * 43}=", "not random", "v2:$(openssl"),
        ("MPANEL_ENCRYPTION_KEYS", "v1:abc", "base64 of 32 bytes", "v2:$(openssl"),
        (
            "MPANEL_DATABASE_URL",
            "postgresql://mpanel:mpanel@db.example/mpanel",
            "6 characters",
            "password mpanel",
        ),
        ("MPANEL_PUBLIC_URL", "http://panel.example", "in the clear", "https://"),
        ("MPANEL_HOSTING_SSH_KEY_FILE", "/nowhere", "No such file", "mode 0600"),
    ],
)
def test_an_unsafe_setting_has_its_line(
    doctor: Doctor, name: str, value: str, said: str, advice: str
) -> None:
    fails(doctor.looks("Settings", **{name: value}), "Settings", name, said, advice)


def test_debugging_is_a_failure(doctor: Doctor) -> None:
    told = doctor.looks("Settings", MPANEL_DEBUG="1")
    fails(told, "Settings", "debug", "MPANEL_DEBUG", "unset MPANEL_DEBUG")


def test_operators_without_a_second_factor_are_a_warning(doctor: Doctor) -> None:
    told = doctor.looks(
        "Settings", MPANEL_SECOND_FACTOR="off", MPANEL_PUBLIC_URL="https://p.example"
    )
    line = told["Settings", "MPANEL_SECOND_FACTOR"]
    assert (line.outcome, "unset" in line.advice) == (Outcome.WARNING, True)


def test_a_key_file_that_others_may_read_is_a_failure(
    doctor: Doctor, tmp_path: Path
) -> None:
    key = tmp_path / "key"
    shutil.copy(doctor.stand.data_dir / "client.key", key)
    key.chmod(0o644)
    told = doctor.looks("Settings", MPANEL_HOSTING_SSH_KEY_FILE=str(key))
    name = "MPANEL_HOSTING_SSH_KEY_FILE"
    fails(told, "Settings", name, "mode 0644", f"chmod 600 {key}")


def test_a_key_that_travels_in_the_clear_is_a_warning(doctor: Doctor) -> None:
    told = doctor.looks("Settings", MPANEL_POWERDNS_URL="http://192.0.2.1:8081")
    line = told["Settings", "MPANEL_POWERDNS_URL"]
    assert (line.outcome, "https://" in line.advice) == (Outcome.WARNING, True)


# --- PostgreSQL -----------------------------------------------------------------------


@pytest.fixture(scope="module")
def scratch(stand: Stand) -> Iterator[str]:
    """A database of the owner's beside the stack's own; empty."""
    with psycopg.connect(_superuser(stand), autocommit=True) as connection:
        connection.execute(f"create database scratch owner {OWNER_ROLE}")
        connection.execute("create role seesall login bypassrls password 'seesall'")
    yield "scratch"
    with psycopg.connect(_superuser(stand), autocommit=True) as connection:
        connection.execute("drop database scratch with (force)")
        connection.execute("drop role seesall")


_JOB = (
    "insert into jobs (id, created_at, tenant_id, kind, status, subject_id, exclusive,"
    " batch, input, generation, started_generation, updated_at, timeline_final)"
    " select gen_random_uuid(), now() - interval '1 h', id, 'website_provision',"
    " '{}', gen_random_uuid(), true, false, '{{}}', 1, 0, now() - interval '1 h', false"
    " from tenants"
)
LATE = (
    "insert into tenants (id, created_at, name) values (gen_random_uuid(), now(), 'x')",
    _JOB.format("pending"),
    _JOB.format("needs_attention"),
    "insert into outbox (id, created_at, tenant_id, channel, recipient, template,"
    " subject_id, facts, status, attempts, next_at) select gen_random_uuid(), now(),"
    " id, 'mail', 'a@b.example', 'welcome', gen_random_uuid(), '{}', 'queued', 3,"
    " now() - interval '1 h' from tenants",
)


def _superuser(stand: Stand) -> str:
    return stand.layout.schema()["MPANEL_SUPERUSER_URL"]


def _elsewhere(url: str, database: str) -> str:
    return urlsplit(url)._replace(path=f"/{database}").geturl()


def test_a_role_that_sees_all_rows_is_a_failure(doctor: Doctor, scratch: str) -> None:
    port = doctor.stand.layout.ports["postgres"]
    url = f"postgresql://seesall:seesall@127.0.0.1:{port}/{scratch}"
    told = doctor.looks("PostgreSQL", MPANEL_DATABASE_URL=url)
    advice = "alter role seesall nosuperuser nobypassrls"
    fails(told, "PostgreSQL", "role", "BYPASSRLS", advice)


def test_a_superuser_is_a_failure(doctor: Doctor) -> None:
    url = _elsewhere(_superuser(doctor.stand), "mpanel")
    told = doctor.looks("PostgreSQL", MPANEL_DATABASE_URL=url)
    fails(told, "PostgreSQL", "role", "superuser", "nosuperuser")


def test_the_tables_owner_is_a_failure(doctor: Doctor) -> None:
    url = doctor.stand.layout.owner_url
    told = doctor.looks("PostgreSQL", MPANEL_DATABASE_URL=url)
    advice = "MPANEL_OWNER_DATABASE_URL"
    fails(told, "PostgreSQL", "role", "owns", advice)


def test_tables_are_missed_then_old_then_unguarded(
    doctor: Doctor, scratch: str
) -> None:
    layout = doctor.stand.layout
    app, owner = (
        _elsewhere(url, scratch) for url in (layout.database_url, layout.owner_url)
    )
    doctor.tell(MPANEL_DATABASE_URL=app)

    told = doctor.looks("PostgreSQL", "Work", "Hosting")
    fails(told, "PostgreSQL", "migrations", "no tables", "mpanel migrate")
    assert told["Work", "rows"].outcome is Outcome.SKIPPED
    assert told["Hosting", "servers"].outcome is Outcome.SKIPPED

    upgrade(owner, app_role=APP_ROLE, to="0001_foundation")
    told = doctor.looks("PostgreSQL")
    fails(told, "PostgreSQL", "migrations", "at 0001_foundation", "mpanel migrate")

    upgrade(owner, app_role=APP_ROLE)
    assert wrong(doctor.looks("PostgreSQL", "Work")) == set()
    told = doctor.looks("Hosting")
    fails(told, "Hosting", "servers", "there is none", "`mpanel server add")

    for statement in LATE:
        with psycopg.connect(app) as connection:
            connection.execute("select set_config('mpanel.scope', 'platform', true)")
            connection.execute(statement)
    told = doctor.looks("PostgreSQL", "Work")
    fails(
        told, "Work", "orders to start", "1 wait, the oldest for 1 h", "mpanel worker"
    )
    fails(told, "Work", "mail and webhooks", "1 wait", "mpanel worker")
    parked = told["Work", "for a person"]
    assert (parked.outcome, parked.said) == (
        Outcome.WARNING,
        "parked: 1 want a decision",
    )

    with psycopg.connect(owner) as connection:
        connection.execute("alter table jobs no force row level security")
        connection.execute("update alembic_version set version_num = '9999_future'")
    told = doctor.looks("PostgreSQL")
    fails(told, "PostgreSQL", "row security", "jobs", "mpanel migrate")
    fails(told, "PostgreSQL", "migrations", "9999_future", "newest release")


@pytest.mark.parametrize(
    ("part", "said", "advice"),
    [
        ("password", "password", "role or password"),
        ("database", "does not exist", "createdb"),
        ("port", "refused", "Start PostgreSQL"),
    ],
)
def test_a_database_that_is_not_reached_says_why(
    doctor: Doctor, part: str, said: str, advice: str
) -> None:
    at = urlsplit(doctor.stand.layout.database_url)
    port = free_port() if part == "port" else at.port
    word = "wrong" if part == "password" else at.password
    name = "nowhere" if part == "database" else "mpanel"
    url = f"postgresql://{at.username}:{word}@127.0.0.1:{port}/{name}"
    told = doctor.looks("PostgreSQL", "Work", MPANEL_DATABASE_URL=url)
    fails(told, "PostgreSQL", "reached", said, advice)
    assert told["Work", "reached"].outcome is Outcome.SKIPPED
    assert str(at.password) not in str(told)


def test_without_rows_nothing_is_said_of_the_nodes_queues(doctor: Doctor) -> None:
    url = f"postgresql://nobody@127.0.0.1:{free_port()}/mpanel"
    told = doctor.looks("Temporal", MPANEL_DATABASE_URL=url)
    assert wrong(told) == set()
    assert [name for _, name in told if "node" in name] == []


# --- Temporal -------------------------------------------------------------------------


def _temporal(stand: Stand, *words: str) -> bool:
    command = [program(), *words, "--address", stand.dev["temporal"]]
    done = subprocess.run(command, capture_output=True, timeout=60, check=False)
    return done.returncode == 0


def test_a_namespace_is_missed_then_has_no_search_attributes_and_no_worker(
    doctor: Doctor,
) -> None:
    doctor.tell(TEMPORAL_NAMESPACE="elsewhere")
    told = doctor.looks("Temporal")
    advice = "temporal operator namespace create --namespace elsewhere"
    fails(told, "Temporal", "namespace", "no namespace elsewhere", advice)

    stand = doctor.stand
    words = ("--namespace", "elsewhere", "--retention", "24h")
    _temporal(stand, "operator", "namespace", "create", *words)
    create = ("operator", "search-attribute", "create", "--namespace", "elsewhere")
    given = ("JobKind", "JobStatus", "JobStep", "TenantId", "SubjectId")
    named = [word for one in given for word in ("--name", one, "--type", "Keyword")]
    until(lambda: _temporal(stand, *create, *named), within=PATIENT)  # it is cached
    # What a namespace has is told a moment after it was given.
    until(lambda: attributes(doctor).startswith("JobReason missing"), within=PATIENT)
    told = doctor.looks("Temporal")
    fails(
        told,
        "Temporal",
        "search attributes",
        "JobReason missing",
        "`temporal operator search-attribute create --namespace elsewhere"
        " --name JobReason --type Keyword`",
    )
    fails(told, "Temporal", "queue hosting", "no worker", "mpanel worker hosting")
    for node in ("pve1", "pve2", "pve3"):
        queue = f"queue node-{node}"
        fails(told, "Temporal", queue, "no worker", "mpanel worker proxmox")

    _temporal(stand, *create, "--name", "JobReason", "--type", "Int")
    until(lambda: attributes(doctor) == "JobReason is Int", within=PATIENT)
    told = doctor.looks("Temporal")
    fails(told, "Temporal", "search attributes", "JobReason is Int", "remove")


def attributes(doctor: Doctor) -> str:
    """What is said about the search attributes now."""
    line = doctor.looks("Temporal").get(("Temporal", "search attributes"))
    return line.said if line else ""


def test_a_temporal_that_is_away_is_told(doctor: Doctor) -> None:
    told = doctor.looks("Temporal", TEMPORAL_ADDRESS=f"127.0.0.1:{free_port()}")
    fails(told, "Temporal", "reached", "no answer", "TEMPORAL_ADDRESS")


# --- providers ------------------------------------------------------------------------


def test_wrong_keys_are_told(doctor: Doctor) -> None:
    told = doctor.looks(
        "Stripe",
        "PowerDNS",
        MPANEL_STRIPE_API_KEY="sk_test_wrong_and_long",
        MPANEL_POWERDNS_API_KEY="wrong",
    )
    fails(told, "Stripe", "reached", "refused", "MPANEL_STRIPE_API_KEY")
    fails(told, "PowerDNS", "reached", "refused", "MPANEL_POWERDNS_API_KEY")
    assert "wrong_and_long" not in str(told)


def test_a_restricted_key_names_the_right_that_it_lacks(
    doctor: Doctor, shop: Shop
) -> None:
    shop.fault(
        "stripe", {"kind": "reject", "op": "POST /v1/refunds", "status": 403, "at": 1}
    )
    try:
        told = doctor.looks("Stripe")
    finally:
        shop.fault("stripe")
    fails(told, "Stripe", "rights", "Charges and Refunds: write", "restricted key")


@pytest.mark.parametrize(
    ("key", "base", "url", "said"),
    [
        ("sk_test_x", None, "https://panel.example", "nobody really pays"),
        ("rk_live_x", "http://127.0.0.1:1", "https://p.example", "another address"),
    ],
)
def test_a_key_of_the_wrong_mode_is_a_warning(
    doctor: Doctor, key: str, base: str | None, url: str, said: str
) -> None:
    doctor.tell(
        MPANEL_STRIPE_API_KEY=key, MPANEL_STRIPE_API_BASE=base, MPANEL_PUBLIC_URL=url
    )
    line = providers.mode(Given.from_environment().settings)
    assert (line.outcome, said in line.said) == (Outcome.WARNING, True)


def test_a_zone_that_is_only_a_copy_is_told(doctor: Doctor, shop: Shop) -> None:
    url = doctor.stand.dev["simulators"]["powerdns"]
    key = doctor.stand.layout.keys.powerdns_api_key
    zone = {"name": "copy.example.", "kind": "Slave", "nameservers": []}
    where = f"{url}/api/v1/servers/localhost/zones"
    shop.http.post(where, json=zone, headers={"X-API-Key": key}).raise_for_status()
    told = doctor.looks("PowerDNS", MPANEL_PLATFORM_DOMAIN="copy.example")
    fails(told, "PowerDNS", "zone", "Slave", "set-kind copy.example native")


def test_a_name_server_that_does_not_serve_the_zone_is_told(
    doctor: Doctor, shop: Shop
) -> None:
    nobody = f"127.0.0.1:{free_port()}"
    told = doctor.looks("PowerDNS", MPANEL_POWERDNS_DNS_ADDRESS=nobody)
    advice = "MPANEL_POWERDNS_DNS_ADDRESS"
    fails(told, "PowerDNS", "name server", nobody, advice)


def test_a_wrong_host_key_and_a_wrong_client_key_are_told(
    doctor: Doctor, tmp_path: Path
) -> None:
    keys = doctor.stand.layout.keys
    told = doctor.looks(
        "Backup store", MPANEL_BACKUP_STORE_HOST_KEY=public_key(keys.hosting_host_key)
    )
    fails(told, "Backup store", "reached", "known host key", "ssh-keyscan -p")

    stranger = tmp_path / "key"
    stranger.write_text(keys.hosting_host_key)
    stranger.chmod(0o600)
    told = doctor.looks(
        "PostgreSQL", "Hosting", MPANEL_HOSTING_SSH_KEY_FILE=str(stranger)
    )
    fails(told, "Hosting", "srv1", "refuses our client key", "authorized_keys")


def test_a_cluster_that_does_not_let_us_in_is_told(doctor: Doctor) -> None:
    doctor.tell(MPANEL_PROXMOX_TOKEN_SECRET="wrong")
    told = doctor.looks("PostgreSQL", "Proxmox")
    fails(told, "Proxmox", "reached", "refused", "pveum user token list")

    doctor.tell(MPANEL_PROXMOX_CA_FILE="/nowhere.pem")
    told = doctor.looks("PostgreSQL", "Proxmox")
    fails(told, "Proxmox", "reached", "PROXMOX_CA_FILE", "pve-root-ca.pem")

    doctor.tell(MPANEL_PROXMOX_URL=None)
    told = doctor.looks("PostgreSQL", "Proxmox")
    assert told["Proxmox", "reached"].outcome is Outcome.SKIPPED


def test_a_node_that_the_cluster_does_not_know_is_told(doctor: Doctor) -> None:
    owner = doctor.stand.layout.owner_url
    statement = "update servers set name = %s where name = %s"
    with psycopg.connect(owner) as connection:
        connection.execute("select set_config('mpanel.scope', 'platform', false)")
        connection.execute(statement, ["pve9", "pve3"])
    try:
        told = doctor.looks("PostgreSQL", "Proxmox")
    finally:
        with psycopg.connect(owner) as connection:
            connection.execute("select set_config('mpanel.scope', 'platform', false)")
            connection.execute(statement, ["pve3", "pve9"])
    fails(told, "Proxmox", "pve9", "does not know it", "pveum acl modify /nodes/pve9")
    assert told["Proxmox", "pve1"].outcome is Outcome.OK


def test_a_server_without_a_working_clpctl_is_told(doctor: Doctor, shop: Shop) -> None:
    shop.fault("hosting", {"kind": "reject", "op": "clpctl list", "times": 99})
    try:
        told = doctor.looks("PostgreSQL", "Hosting")
    finally:
        shop.fault("hosting")
    fails(told, "Hosting", "srv1", "clpctl ends with 1", "Install CloudPanel")


def test_nobody_at_the_ports_is_told(doctor: Doctor) -> None:
    nobody = free_port()
    at = urlsplit(of_stack(doctor.stand.data_dir)["MPANEL_BACKUP_STORE_URL"])
    told = doctor.looks(
        "Stripe",
        "PowerDNS",
        "Mail",
        "API",
        "Backup store",
        MPANEL_STRIPE_API_BASE=f"http://127.0.0.1:{nobody}",
        MPANEL_POWERDNS_URL=f"http://127.0.0.1:{nobody}",
        MPANEL_SMTP_URL=f"smtp://127.0.0.1:{nobody}",
        MPANEL_PUBLIC_URL=f"http://127.0.0.1:{nobody}",
        MPANEL_BACKUP_STORE_URL=f"sftp://{at.username}@127.0.0.1:{nobody}{at.path}",
    )
    fails(told, "Stripe", "reached", "no answer", "MPANEL_STRIPE_API_BASE")
    fails(told, "PowerDNS", "reached", "ConnectError", "MPANEL_POWERDNS_URL")
    fails(told, "Mail", "reached", "", "MPANEL_SMTP_URL")
    fails(told, "API", "reached", "ConnectError", "mpanel api")
    fails(told, "Backup store", "reached", "", f"127.0.0.1:{nobody} up")


def test_an_address_that_is_none_is_told(doctor: Doctor) -> None:
    told = doctor.looks("Mail", MPANEL_SMTP_URL="smtp://ada:pass/word@relay.example")
    fails(told, "Mail", "settings", "not well-formed", "MPANEL_SMTP_URL")
    assert "pass" not in str(told)
    told = doctor.looks("Backup store", MPANEL_BACKUP_STORE_HOST_KEY="ssh-ed25519 x")
    fails(told, "Backup store", "reached", "no key", "MPANEL_BACKUP_STORE_HOST_KEY")


def test_mail_is_refused_step_by_step(doctor: Doctor) -> None:
    port = doctor.stand.layout.ports["mail_smtp"]
    told = doctor.looks("Mail", MPANEL_SMTP_URL=f"smtp+starttls://127.0.0.1:{port}")
    fails(told, "Mail", "TLS", "", "smtp://")
    told = doctor.looks("Mail", MPANEL_SMTP_URL=f"smtp://ada:secret@127.0.0.1:{port}")
    fails(told, "Mail", "login", "", "user and password")
    assert "secret" not in str(told)


def test_ports_that_stay_silent_hang_nothing(doctor: Doctor) -> None:
    at = urlsplit(doctor.stand.layout.database_url)
    store = urlsplit(of_stack(doctor.stand.data_dir)["MPANEL_BACKUP_STORE_URL"])
    with silent() as port:
        began = time.monotonic()
        told = doctor.looks(
            MPANEL_DATABASE_URL=f"postgresql://{at.username}:x@127.0.0.1:{port}/mpanel",
            MPANEL_STRIPE_API_BASE=f"http://127.0.0.1:{port}",
            MPANEL_POWERDNS_URL=f"http://127.0.0.1:{port}",
            MPANEL_SMTP_URL=f"smtp://127.0.0.1:{port}",
            MPANEL_PUBLIC_URL=f"http://127.0.0.1:{port}",
            MPANEL_BACKUP_STORE_URL=f"sftp://{store.username}@127.0.0.1:{port}/b",
            TEMPORAL_ADDRESS=f"127.0.0.1:{port}",
        )
        took = time.monotonic() - began
    for area in ("PostgreSQL", "Temporal", "Stripe", "PowerDNS", "Mail", "API"):
        assert any(one == area for one, _ in wrong(told)), area
    assert any(one == "Backup store" for one, _ in wrong(told))
    assert told["Settings", "debug"].outcome is Outcome.OK
    # The longest patience, not the sum of them.
    assert took < 4 * max(one.patience for one in probes(Given.from_environment()))


@contextmanager
def silent() -> Iterator[int]:
    """A port that accepts and never says a word."""
    with socket.create_server(("127.0.0.1", 0), backlog=100) as door:
        yield int(door.getsockname()[1])


def test_a_clock_that_is_an_hour_off_is_told(doctor: Doctor) -> None:
    with an_hour_ahead() as port:
        told = doctor.looks("Stripe", MPANEL_STRIPE_API_BASE=f"http://127.0.0.1:{port}")
    fails(told, "Stripe", "clock", "ahead", "timedatectl set-ntp true")


@contextmanager
def an_hour_ahead() -> Iterator[int]:
    """A Stripe that accepts everything and lives in the future."""

    class Ahead(http.server.BaseHTTPRequestHandler):
        def date_time_string(self, timestamp: float | None = None) -> str:
            return super().date_time_string(time.time() + 3600)

        def do_GET(self) -> None:
            self.send_response(200)
            self.send_header("Content-Length", "2")
            self.end_headers()
            self.wfile.write(b"{}")

        do_POST = do_GET  # noqa: N815  # http.server's name

        def log_message(self, *_: object) -> None:
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Ahead)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield int(server.server_address[1])
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


# --- the books ------------------------------------------------------------------------


def test_orphans_are_shown_and_end_with_1(stand: Stand, shop: Shop) -> None:
    where = ("--orphans", "--data-dir", str(stand.data_dir))
    clean = run(stand, *where)
    assert clean.returncode == 0, clean.stdout + clean.stderr

    url = stand.dev["simulators"]["powerdns"]
    key = stand.layout.keys.powerdns_api_key
    rrset = {
        "name": "left.sites.localhost.",
        "type": "A",
        "ttl": 60,
        "changetype": "REPLACE",
        "records": [{"content": "127.0.0.1", "disabled": False}],
        "comments": [{"content": "nobodys-reference", "account": "mpanel"}],
    }
    zone = f"{url}/api/v1/servers/localhost/zones/sites.localhost."

    def patch(change: dict[str, object]) -> None:
        headers = {"X-API-Key": key}
        body = {"rrsets": [change]}
        shop.http.patch(zone, json=body, headers=headers).raise_for_status()

    patch(rrset)
    try:
        said = run(stand, *where)
        told = json.loads(run(stand, *where, "--json").stdout)
    finally:
        patch({"name": rrset["name"], "type": "A", "changetype": "DELETE"})
    assert said.returncode == 1
    assert "left.sites.localhost" in said.stdout
    assert [one["mark"] for one in told["orphans"]] == ["nobodys-reference"]


def test_books_that_cannot_be_read_end_with_2(
    doctor: Doctor, stand: Stand, monkeypatch: pytest.MonkeyPatch
) -> None:
    doctor.tell(MPANEL_STRIPE_API_BASE=f"http://127.0.0.1:{free_port()}")
    said = subprocess.run(
        [sys.executable, "-m", "workers.cli", "doctor", "--money"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert said.returncode == 2
    assert "cannot look" in said.stderr
