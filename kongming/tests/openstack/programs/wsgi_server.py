# SPDX-License-Identifier: Apache-2.0
"""Serve one application of OpenStack.

wsgi_server.py PORT MODULE
"""

import importlib
import os
import signal
import sys
import traceback
from collections.abc import Callable, Iterable
from types import FrameType
from typing import Any, NoReturn

from cheroot import wsgi


def _end(signum: int, frame: FrameType | None) -> NoReturn:
    sys.exit(0)


def _keeping(application: Callable[..., Iterable[bytes]]) -> Callable[..., Iterable[bytes]]:
    """The application, which cannot close a connection that its client goes on using.

    Glance closes what it has read an image from.
    """

    def serve(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        environ["wsgi.input"].close = lambda: None
        return application(environ, start_response)

    return serve


def main(port: int, module: str) -> None:
    """Listen on 127.0.0.1, then load the application: clients wait, none is refused."""
    signal.signal(signal.SIGTERM, _end)
    # Some applications read options from the command line.
    sys.argv[1:] = []
    server = wsgi.Server(("127.0.0.1", port), None, numthreads=8, request_queue_size=128)
    server.prepare()
    try:
        server.wsgi_app = _keeping(importlib.import_module(module).application)
    except BaseException:
        traceback.print_exc()
        # Threads that wait for work would keep the process.
        os._exit(1)
    server.serve()


if __name__ == "__main__":
    main(int(sys.argv[1]), sys.argv[2])
