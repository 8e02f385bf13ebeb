"""The same web process as the API's own tests."""

from tests.api.conftest import no_temporal, settings

__all__ = ["no_temporal", "settings"]
