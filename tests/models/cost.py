"""What something costs, on a machine that does other things as well."""

import time
from collections.abc import Callable


def cost(act: Callable[[], object]) -> float:
    """CPU seconds: of three times the one least disturbed by others."""
    spent = []
    for _ in range(3):
        began = time.process_time()
        act()
        spent.append(time.process_time() - began)
    return min(spent)
