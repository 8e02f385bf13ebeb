"""Machines that carry websites and CloudPods. Credentials are settings, not rows."""

from datetime import datetime

from sqlmodel import Field

from models.base import Row, moment

HOSTING, PROXMOX = "hosting", "proxmox"


class Server(Row, table=True):
    """A hosting server: SSH endpoint, its host key, where its sites answer. Or, with
    the role `proxmox`, a node of the cluster, which is spoken to through the cluster.

    `capacity`: how many sites a hosting server may carry. `memory` in MiB and `cores`:
    what a node may promise to its CloudPods. `memory_used` of a node, `disk` and
    `disk_used` of a hosting server are its own figures, in MiB. `status` is what was
    seen of it (online, degraded, offline), `draining` what an operator wants: nothing
    new is placed there.
    """

    __tablename__ = "servers"

    name: str = Field(unique=True)
    role: str = "hosting"
    ssh_host: str = ""
    ssh_port: int = 0
    ssh_user: str = "root"
    host_key: str = ""
    http_address: str = ""
    public_ip: str = ""
    capacity: int = 0
    memory: int = 0
    cores: int = 0
    memory_used: int = 0
    disk: int = 0
    disk_used: int = 0
    status: str = "online"
    draining: bool = False
    # When a worker last heard its figures from it, or the cluster call it online.
    last_heartbeat_at: datetime | None = moment(default=None)
