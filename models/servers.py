"""Machines that carry websites. Credentials are settings, not rows."""

from datetime import datetime

from sqlmodel import Field

from models.base import Row, moment


class Server(Row, table=True):
    """A hosting server: SSH endpoint, its host key, where its sites answer."""

    __tablename__ = "servers"

    name: str = Field(unique=True)
    role: str = "hosting"
    ssh_host: str
    ssh_port: int
    ssh_user: str = "root"
    host_key: str
    http_address: str
    public_ip: str
    capacity: int
    status: str = "online"
    # When a worker last heard its SSH server greet.
    last_heartbeat_at: datetime | None = moment(default=None)
