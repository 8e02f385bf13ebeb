"""The same web process as the API's own tests."""

from tests.api.conftest import app, log_in, no_temporal, settings

__all__ = ["app", "log_in", "no_temporal", "settings"]
