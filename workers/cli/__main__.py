"""`python -m workers.cli`: the same as `mpanel`."""

from workers.cli import app

if __name__ == "__main__":
    app(prog_name="mpanel")
