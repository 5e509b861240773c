# SPDX-License-Identifier: Apache-2.0
"""What all programs share: configuration at start, and services for oslo.service."""

import sys
from collections.abc import Callable, Sequence
from typing import Protocol

from oslo_config import cfg
from oslo_db import options
from oslo_log import log as logging
from oslo_messaging import opts as messaging
from oslo_service import service

from kongming import conf as _options  # noqa: F401  registers the options


class Running(Protocol):
    """Something that works between start() and stop()."""

    def start(self) -> None:
        """Begin."""

    def stop(self) -> None:
        """End; returns when nothing is left running."""


class Worker(service.ServiceBase):
    """Runs one thing per worker process, made only after the fork."""

    def __init__(self, make: Callable[[], Running]) -> None:
        self._make = make
        self._running: Running | None = None

    def start(self) -> None:
        """Make and start the thing."""
        self._running = self._make()
        self._running.start()

    def stop(self) -> None:
        """Stop it."""
        if self._running is not None:
            self._running.stop()

    def wait(self) -> None:
        """Nothing to wait for: the process waits for its signal."""

    def reset(self) -> None:
        """Nothing to reset: SIGHUP replaces the worker."""


def prepare(program: str, arguments: Sequence[str] | None = None) -> cfg.ConfigOpts:
    """Read command line and configuration files, set logging up; return the configuration."""
    conf = cfg.CONF
    logging.register_options(conf)
    options.set_defaults(conf)
    for group, messaging_options in messaging.list_opts():
        conf.register_opts(messaging_options, group=group)
    logging.set_defaults(
        default_log_levels=[*logging.get_default_log_levels(), "cotyledon=WARN", "alembic=WARN"]
    )
    conf(sys.argv[1:] if arguments is None else arguments, project="kongming", prog=program)
    logging.setup(conf, "kongming")
    return conf


def serve(conf: cfg.ConfigOpts, make: Callable[[], Running], workers: int = 1) -> int:
    """Run workers until SIGTERM or SIGINT; SIGHUP reads the configuration anew.

    :returns: the exit code for the program
    """
    launcher = service.launch(conf, Worker(make), workers=workers, restart_method="reload")
    return launcher.wait() or 0
