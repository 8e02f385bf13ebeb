"""Every duration of the engine, in one place.

Patience is time spent in trouble at a provider, summed over tries; our own PostgreSQL
or Temporal being away never uses it up. The worker may lower it by setting, so a test
need not wait for a day.
"""

from datetime import timedelta
from typing import Final

from temporalio.common import RetryPolicy

PATIENCE: Final = timedelta(hours=24)
UNDO_PATIENCE: Final = timedelta(seconds=60)

# A step that does not say a word for this long died with its worker.
ALIVE: Final = timedelta(seconds=5)
QUICK: Final = timedelta(seconds=60)
LONG: Final = timedelta(hours=2)

# Only for tries that ended without an answer (worker died, time-out); every other
# failure brings its own delay with it.
AGAIN: Final = RetryPolicy(
    initial_interval=timedelta(seconds=1),
    backoff_coefficient=1.0,
    maximum_interval=timedelta(seconds=1),
)
NOTE: Final = RetryPolicy(
    initial_interval=timedelta(milliseconds=200),
    maximum_interval=timedelta(seconds=10),
)
NOTE_TIME: Final = timedelta(seconds=10)

# Of the workflow task: how soon another worker takes over a run.
TASK: Final = timedelta(seconds=5)
