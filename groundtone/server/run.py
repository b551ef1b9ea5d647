"""One server process: checks that it may listen there, loads the model, serves until it is told to stop, drains."""

from __future__ import annotations

import logging
import signal
import socket
from types import FrameType

import uvicorn

from groundtone.addresses import is_loopback
from groundtone.errors import UserError
from groundtone.joins.retention import expire
from groundtone.keys import KeyFile
from groundtone.project import Project
from groundtone.server.app import create_app
from groundtone.settings import Settings

log = logging.getLogger("groundtone.server")


def serve(project: Project, settings: Settings) -> None:
    """Serve until SIGINT or SIGTERM. Raises UserError where the address must not or cannot be used."""
    given = settings.server
    check_open(project, settings)
    listening = listen(given.host, given.port)
    old = expire(project, settings)
    if old is not None:
        log.info("; ".join(old.lines()))
    app = create_app(project, settings)
    config = uvicorn.Config(
        app,
        log_level="info",
        timeout_keep_alive=30,
        timeout_graceful_shutdown=given.shutdown_s,
        h11_max_incomplete_event_size=64 * 1024,
        server_header=False,
        ws="none",
    )
    Server(config).run(sockets=[listening])


class Server(uvicorn.Server):
    """uvicorn, telling the application first that it is being stopped: open connections then get 503."""

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """A signal to stop."""
        self.config.app.state.groundtone.desk.draining = True  # type: ignore[union-attr]
        log.info("stopping: requests in work are finished (%s)", signal.Signals(sig).name)
        super().handle_exit(sig, frame)


def check_open(project: Project, settings: Settings) -> None:
    """Raises UserError where anybody on the network could ask without a key, or no key would be valid."""
    given = settings.server
    valid = [key for key in KeyFile(project.keys_path).listed() if not key.revoked]
    if given.auth == "always" and not valid:
        raise UserError(
            "server.auth is always, but there is no valid key: make one with `groundtone serve keys add NAME`"
        )
    asks = given.auth == "always" or (given.auth == "auto" and project.keys_path.exists())
    if not asks and not is_loopback(given.host):
        raise UserError(
            f"server.host is {given.host!r}, but no key is asked for: make one with `groundtone serve keys add NAME`, "
            "or listen on 127.0.0.1"
        )


def listen(host: str, port: int) -> socket.socket:
    """The listening socket, before the model is loaded: a taken port is told at once."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    # asyncio sends small packets at once (TCP_NODELAY) only on sockets that name their protocol: without it, every
    # response waits some 40 ms for the client's delayed acknowledgement.
    listening = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listening.bind((host, port))
    except OSError as error:
        listening.close()
        raise UserError(
            f"port {port} on {host} cannot be used ({error.strerror}): another server may be running; choose another "
            "with --port 8001"
        ) from error
    return listening
