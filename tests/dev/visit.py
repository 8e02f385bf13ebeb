"""`visit.py DATA_DIR stop|keep|linger`: uses a stack as `mpanel demo` does."""

import sys
import time
from pathlib import Path

from workers.dev.running import running

if __name__ == "__main__":
    data_dir, how = Path(sys.argv[1]), sys.argv[2]
    stack = (sys.executable, "-m", "tests.dev.stack")
    with running(data_dir, keep=how == "keep", ports={}, command=stack) as found:
        sys.stdout.write(f"{found.supervisor} {found.dev['api']}\n")
        sys.stdout.flush()
        if how == "linger":
            time.sleep(60)
