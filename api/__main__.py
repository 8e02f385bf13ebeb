"""`python -m api [--host HOST] [--port PORT]`: the web process.

With MPANEL_LISTEN_FD it serves on a socket that somebody else has bound, so that a
restart refuses no connection. With `--settings` it tells what it reads, as JSON.
"""

import argparse
import json
import os
import socket
import sys

from models.settings import SettingsRefused


def main() -> None:
    """Serves until SIGTERM. Exit code 2 if a setting is missing."""
    parser = argparse.ArgumentParser(prog="mpanel api")
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=8000)
    parser.add_argument("--settings", action="store_true")
    arguments = parser.parse_args()
    if arguments.settings:
        _tell_settings()
        return
    try:
        _serve(arguments.host, arguments.port)
    except SettingsRefused as refusal:
        sys.exit(_refused(str(refusal)))


def _serve(host: str, port: int) -> None:
    from api.settings import ApiSettings

    settings = ApiSettings.from_environment()

    from models.logs import LogSettings, configure

    configure(LogSettings.from_environment())

    import uvicorn

    from api.app import create_app
    from api.server import Server
    from workflows.engine.runtime import use_our_logs

    use_our_logs()

    app = create_app(settings)
    server = Server(
        app,
        uvicorn.Config(
            app,
            host=host,
            port=port,
            loop="uvloop",
            http="httptools",
            access_log=False,
            log_config=None,
            # Which proxies tell the truth about addresses is a setting of the app's.
            proxy_headers=False,
            server_header=False,
            # Longer than proxies keep theirs (60 s): whoever closes first must not be
            # the one that is being sent a call.
            timeout_keep_alive=75,
            timeout_graceful_shutdown=8,
        ),
    )
    handed_over = os.environ.get("MPANEL_LISTEN_FD")
    if handed_over is None:
        server.run()
    else:
        with socket.socket(fileno=int(handed_over)) as door:
            server.run(sockets=[door])


def _tell_settings() -> None:
    from api.settings import ApiSettings

    sys.stdout.write(json.dumps([vars(one) for one in ApiSettings.described()]))


def _refused(message: str) -> int:
    sys.stderr.write(f"{message}\n")
    return 2


if __name__ == "__main__":
    main()
