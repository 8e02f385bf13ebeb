"""`through.py POSTGRES_PORT TEMPORAL_PORT PROGRAM ...`: the program, with both stores
reached through these ports."""

import os
import re
import sys

if __name__ == "__main__":
    postgres, temporal, *program = sys.argv[1:]
    url = os.environ["MPANEL_DATABASE_URL"]
    os.environ["MPANEL_DATABASE_URL"] = re.sub(r":\d+/", f":{postgres}/", url)
    os.environ["TEMPORAL_ADDRESS"] = f"127.0.0.1:{temporal}"
    os.execv(program[0], program)
