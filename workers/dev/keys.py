"""The development stack's secrets: made once, kept in a file of mode 0600."""

import base64
import secrets
from dataclasses import asdict, dataclass, fields

from workers.dev.folder import DataFolder

FILE = "secrets.json"


def _token() -> str:
    return secrets.token_hex(24)


def _ssh_key() -> str:
    """A new ed25519 private key, in OpenSSH's form."""
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
    from cryptography.hazmat.primitives.serialization import (
        Encoding,
        NoEncryption,
        PrivateFormat,
    )

    key = Ed25519PrivateKey.generate()
    return key.private_bytes(
        Encoding.PEM, PrivateFormat.OpenSSH, NoEncryption()
    ).decode()


def public_key(private_key: str) -> str:
    """`ssh-ed25519 AAAA...` of a private key in OpenSSH's form."""
    from cryptography.hazmat.primitives.serialization import (
        Encoding,
        PublicFormat,
        load_ssh_private_key,
    )

    key = load_ssh_private_key(private_key.encode(), password=None).public_key()
    return key.public_bytes(Encoding.OpenSSH, PublicFormat.OpenSSH).decode()


@dataclass(frozen=True, repr=False)
class Keys:
    """Every secret of one stack."""

    admin_password: str
    secret_key: str
    encryption_keys: str
    order_webhook_secret: str
    stripe_api_key: str
    stripe_webhook_secret: str
    bounce_webhook_secret: str
    powerdns_api_key: str
    proxmox_token_secret: str
    postgres_password: str
    owner_password: str
    app_password: str
    client_key: str
    hosting_host_key: str
    backup_store_host_key: str

    @classmethod
    def of(cls, folder: DataFolder) -> "Keys":
        """Those of the folder; what is missing is made and kept."""
        kept = folder.read(FILE) or {}
        made = {
            field.name: _make(field.name)
            for field in fields(cls)
            if field.name not in kept
        }
        keys = cls(**{f.name: {**made, **kept}[f.name] for f in fields(cls)})
        if made:
            folder.write(FILE, asdict(keys))
        return keys


def _make(name: str) -> str:
    match name:
        case "admin_password":
            return secrets.token_urlsafe(12)
        case "encryption_keys":
            return f"v1:{base64.b64encode(secrets.token_bytes(32)).decode()}"
        case "stripe_api_key":
            return f"sk_test_{_token()}"
        case "stripe_webhook_secret":
            return f"whsec_{_token()}"
        case "client_key" | "hosting_host_key" | "backup_store_host_key":
            return _ssh_key()
        case _:
            return _token()
