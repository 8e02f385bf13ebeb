"""What the web process reads from the environment; no provider's key is among it."""

from pydantic import Field, SecretStr
from temporalio.envconfig import ClientConfig, ClientConnectConfig

from api.auth.demand import Demand
from api.limits import Kind
from models.metrics import MetricsSettings
from models.settings import SettingsRefused


class ApiSettings(MetricsSettings):
    """For `mpanel api`."""

    database_url: SecretStr = Field(
        description="postgresql:// URL of the application's role, which owns no table"
    )
    secret_key: SecretStr = Field(
        min_length=32, description="signs sessions and tokens; 32 characters or more"
    )
    encryption_keys: SecretStr = Field(
        description="keys for secrets at rest, <version>:<base64 of 32 bytes>, oldest"
        " first, separated by commas"
    )
    order_webhook_secret: SecretStr = Field(
        min_length=16, description="shared with the marketing site, signs its orders"
    )
    stripe_webhook_secret: SecretStr = Field(
        description="Stripe's signing secret of our webhook endpoint"
    )
    bounce_webhook_secret: SecretStr | None = Field(
        default=None,
        min_length=16,
        description="shared with the mail server, signs the bounces that it hands in",
    )
    platform_domain: str = Field(
        description="domain under which websites without one of their own live"
    )
    public_url: str = Field(description="where people reach the API, for links")
    second_factor: Demand = Field(
        default=Demand.OPERATORS,
        description="of whom an authenticator app is demanded: operators (and above),"
        " or off",
    )

    call_limit: int = Field(
        default=100,
        ge=1,
        description="calls a minute of one user, or of an address without a login",
    )
    call_limit_login: int = Field(
        default=20, ge=1, description="logins a minute from one address"
    )
    call_limit_poll: int = Field(
        default=600, ge=1, description="looks at jobs and orders a minute of one user"
    )
    call_limit_webhook: int = Field(
        default=6000,
        ge=1,
        description="signed webhooks a minute from one address; one too many is told"
        " when to come again, and its order is not lost as long as it does",
    )
    trusted_proxies: str = Field(
        default="",
        description="addresses or networks, separated by commas, of proxies whose"
        " X-Forwarded-For is believed",
    )

    def calls_a_minute(self, kind: Kind) -> int:
        """How many of this kind one caller may make."""
        match kind:
            case Kind.DEFAULT:
                return self.call_limit
            case Kind.LOGIN:
                return self.call_limit_login
            case Kind.POLL:
                return self.call_limit_poll
            case Kind.WEBHOOK:
                return self.call_limit_webhook

    @property
    def temporal(self) -> ClientConnectConfig:
        """Arguments of `Client.connect`, as the SDK reads them from TEMPORAL_*."""
        config = ClientConfig.load_client_connect_config()
        if not config.get("target_host"):
            raise SettingsRefused("TEMPORAL_ADDRESS is missing: host:port of Temporal")
        return config
