"""What `clpctl` does: sites as rows, each with a home folder of its own system user.

A site is its row. The folder is complete before the row is committed, and goes after
the row went; `mend` removes folders that a kill -9 left without a row.
"""

import re
import shutil
from pathlib import Path
from typing import Any

from simulators.core import Call, Refused
from simulators.store import Store

_DOMAIN = re.compile(r"(?!-)[a-z0-9-]+(\.[a-z0-9-]+)+")
_USER = re.compile(r"[a-z][a-z0-9-]{0,31}")
_PHP_VERSIONS = ("7.4", "8.0", "8.1", "8.2", "8.3", "8.4")
_FIRST_PAGE = "<!DOCTYPE html><title>Hello World</title><h1>Hello World :-)</h1>\n"


class Sites:
    """Every method that changes something writes the ledger through its call."""

    def __init__(self, store: Store, tree: Path) -> None:
        self._store, self._tree = store, tree
        self._homes, self._attic = tree / "home", tree / ".attic"

    def mend(self) -> None:
        """Make the tree fit the rows again; run before anything listens."""
        shutil.rmtree(self._attic, ignore_errors=True)
        self._attic.mkdir(parents=True)
        self._homes.mkdir(exist_ok=True)
        users = {site["user"] for site in self._store.each("site")}
        for home in self._homes.iterdir():
            if home.name not in users:
                shutil.rmtree(home)

    def find(self, domain: str) -> dict[str, Any] | None:
        """The row of the site."""
        return self._store.find("site", domain)

    def home(self, site: dict[str, Any]) -> Path:
        """The home folder of the site's user, here."""
        return self._homes / str(site["user"])

    def docroot(self, site: dict[str, Any]) -> Path:
        """What is served of it, here."""
        return self.home(site) / "htdocs" / str(site["domain"])

    def add(self, call: Call, kind: str, options: dict[str, str]) -> str:
        """`site:add:<kind>`"""
        domain, user = options["domainName"], options["siteUser"]
        if not _DOMAIN.fullmatch(domain):
            raise no("the domain name is not valid")
        if not _USER.fullmatch(user):
            raise no("the site user is not valid")
        if options.get("phpVersion", _PHP_VERSIONS[0]) not in _PHP_VERSIONS:
            raise no("this PHP version is not installed")
        if self.find(domain):
            raise no(f"the domain {domain} exists")
        if any(site["user"] == user for site in self._store.each("site")):
            raise no(f"the user {user} exists")
        site = {"domain": domain, "user": user, "type": kind}
        self._make_home(site)
        with call.change():
            self._store.put("site", domain, site)
            call.effect("site.created", key=domain, user=user, type=kind)
        return f"Site {domain} has been created."

    def delete(self, call: Call, options: dict[str, str]) -> str:
        """`site:delete`"""
        site = self.find(options["domainName"])
        if site is None:
            raise no("there is no such site")
        if "force" not in options:
            raise no("not confirmed: use --force")
        home = self.home(site)
        inside = f"/home/{site['user']}/"
        with call.change():
            self._store.remove("site", site["domain"])
            for kind in ("file", "database"):
                for body in self._store.each(kind):
                    if body.get("path", "").startswith(inside):
                        self._store.remove("file", body["path"])
                    if body.get("domain") == site["domain"]:
                        self._store.remove("database", body["name"])
            call.effect("site.deleted", key=site["domain"], user=site["user"])
        self._drop(home)
        return f"Site {site['domain']} has been deleted."

    def install_certificate(self, call: Call, options: dict[str, str]) -> str:
        """`site:install:certificate`"""
        site = self.find(options["domainName"])
        if site is None:
            raise no("there is no such site")
        for option in ("privateKey", "certificate", "certificateChain"):
            name = options.get(option)
            if name and not (self._tree / name.lstrip("/")).is_file():
                raise no(f"{option}: there is no file {name}")
        with call.change():
            self._store.put("site", site["domain"], {**site, "certificate": True})
            call.effect("certificate.installed", key=site["domain"])
        return "Certificate has been installed."

    def add_database(self, call: Call, options: dict[str, str]) -> str:
        """`db:add`"""
        name, domain = options["databaseName"], options["domainName"]
        if self.find(domain) is None:
            raise no("there is no such site")
        if self._store.find("database", name):
            raise no(f"the database {name} exists")
        with call.change():
            self._store.put("database", name, {"name": name, "domain": domain})
            call.effect("database.created", key=name, domain=domain)
        return f"Database {name} has been added."

    def add_user(self, call: Call, options: dict[str, str]) -> str:
        """`user:add`"""
        name = options["userName"]
        if self._store.find("user", name):
            raise no(f"the user {name} exists")
        with call.change():
            self._store.put("user", name, {"name": name, "role": options["role"]})
            call.effect("user.created", key=name, role=options["role"])
        return f"User {name} has been added."

    def _make_home(self, site: dict[str, Any]) -> None:
        draft = self._attic / site["user"]
        shutil.rmtree(draft, ignore_errors=True)
        docroot = draft / "htdocs" / site["domain"]
        docroot.mkdir(parents=True)
        page = "index.php" if site["type"] == "php" else "index.html"
        (docroot / page).write_text(_FIRST_PAGE)
        draft.rename(self.home(site))

    def _drop(self, home: Path) -> None:
        if home.exists():
            gone = self._attic / f"{home.name}.gone"
            shutil.rmtree(gone, ignore_errors=True)
            home.rename(gone)
            shutil.rmtree(gone)


def no(text: str) -> Refused:
    """`clpctl` says no: exit status 1."""
    return Refused(1, "clpctl", text)
