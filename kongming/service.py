# SPDX-License-Identifier: Apache-2.0
"""What all programs share: configuration at start, and services for oslo.service."""

import gc
import sys
from collections.abc import Callable, Sequence
from typing import NoReturn, Protocol

import oslo_messaging
from oslo_config import cfg
from oslo_db import options
from oslo_log import log as logging
from oslo_messaging import opts as messaging
from oslo_service import service

from kongming import guru, rpc
from kongming.conf import opts


class Running(Protocol):
    """Something that works between start() and stop()."""

    def start(self) -> None:
        """Begin."""

    def stop(self) -> None:
        """End; returns when nothing is left running."""


class Worker(service.ServiceBase):
    """Runs one thing per worker process, made only after the fork."""

    def __init__(self, conf: cfg.ConfigOpts, make: Callable[[], Running]) -> None:
        self._conf = conf
        self._make = make
        self._running: Running | None = None

    def start(self) -> None:
        """Make and start the thing."""
        # SIGHUP may have brought other options
        logging.setup(self._conf, "kongming")
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


def prepare(
    program: str, arguments: Sequence[str] | None = None, prints: bool = False
) -> cfg.ConfigOpts:
    """Read command line and configuration files, set logging up; return the configuration.

    Ends the program if that is impossible.

    :param prints: its standard output is for what it prints, and not for what it logs
    """
    conf = cfg.CONF
    logging.register_options(conf)
    if prints:
        conf.set_default("use_stderr", True)
    options.set_defaults(conf)
    for group, messaging_options in messaging.list_opts():
        conf.register_opts(messaging_options, group=group)
    opts.set_defaults()
    try:
        conf(sys.argv[1:] if arguments is None else arguments, project="kongming", prog=program)
        _read_all(conf)
        logging.setup(conf, "kongming")
    except (cfg.Error, logging.LogConfigError, OSError) as error:
        fail(program, error)
    return conf


def need_database(conf: cfg.ConfigOpts) -> None:
    """End the program if the configuration names no database."""
    if not conf.database.connection:
        fail(conf.prog, cfg.RequiredOptError("connection", cfg.OptGroup("database")))


def fail(program: str, error: Exception) -> NoReturn:
    """End the program with one line that says why."""
    lines = str(error).strip().splitlines() or [repr(error)]
    sys.exit(f"{program}: {lines[0]}")


def serve(conf: cfg.ConfigOpts, make: Callable[[], Running], workers: int = 1) -> int:
    """Run workers until SIGTERM or SIGINT; SIGHUP reads the configuration anew.

    :returns: the exit code for the program
    """
    try:
        # what is wrong with its URL is better told here than by each worker again and again
        rpc.disconnect(rpc.transport(conf))
    except oslo_messaging.MessagingException as error:
        fail(conf.prog, error)
    # the workers inherit it
    guru.report_on_signal()
    # and may go on sharing the memory of what is there now, as nothing looks through it any more
    gc.freeze()
    launcher = service.launch(conf, Worker(conf, make), workers=workers, restart_method="reload")
    return launcher.wait() or 0


def _read_all(conf: cfg.ConfigOpts) -> None:
    # oslo.config looks at a value when it is used: an operator wants to hear of it now
    for group, group_options in opts.list_opts():
        values = conf if group == "DEFAULT" else conf[group]
        for option in group_options:
            getattr(values, option.dest)
