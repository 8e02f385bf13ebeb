"""Temporal's core speaks through our logs, as everything else does."""

import logging

from temporalio import activity, workflow
from temporalio.runtime import (
    LogForwardingConfig,
    LoggingConfig,
    Runtime,
    TelemetryConfig,
    TelemetryFilter,
)


def use_our_logs() -> None:
    """To be called once, before the process makes its first client."""
    Runtime.set_default(
        Runtime(
            telemetry=TelemetryConfig(
                logging=LoggingConfig(
                    filter=TelemetryFilter(core_level="WARN", other_level="ERROR"),
                    forwarding=LogForwardingConfig(logging.getLogger("temporalio")),
                )
            )
        )
    )
    # Ids are fields of each line already.
    activity.logger.activity_info_on_message = False
    workflow.logger.workflow_info_on_message = False
