"""`mpanel migrate`: bring the tables up to date, as their owner."""

from pathlib import Path

from alembic import command
from alembic.config import Config
from sqlalchemy import create_engine, text

from models.migrations.security import secure

# One migration at a time, whichever process starts it.
_LOCK = 7_267_351


def config() -> Config:
    """Alembic's configuration without a file."""
    made = Config()
    made.set_main_option("script_location", str(Path(__file__).parent))
    return made


def upgrade(url: str, *, app_role: str, to: str = "head") -> None:
    """Migrates and puts row-level security in place, in one transaction.

    `url` names the tables' owner; `app_role` is what the application connects as.
    """
    engine = create_engine(url.replace("postgresql://", "postgresql+psycopg://", 1))
    with engine.begin() as connection:
        connection.execute(text("select pg_advisory_xact_lock(:key)"), {"key": _LOCK})
        settings = config()
        settings.attributes["connection"] = connection
        command.upgrade(settings, to)
        secure(connection, app_role)
    engine.dispose()


def downgrade(url: str, *, to: str = "base") -> None:
    """Takes migrations back, for tests and emergencies."""
    engine = create_engine(url.replace("postgresql://", "postgresql+psycopg://", 1))
    with engine.begin() as connection:
        settings = config()
        settings.attributes["connection"] = connection
        command.downgrade(settings, to)
    engine.dispose()
