# SPDX-License-Identifier: Apache-2.0
"""Sockets that give up in time: a byte now and then keeps no thread of the server busy."""

import functools
import socket
import time
from collections.abc import Callable
from typing import Any

from cheroot import makefile


class Deadline:
    """When something has to be over."""

    def __init__(self, seconds: float, clock: Callable[[], float] = time.monotonic) -> None:
        self._seconds = seconds
        self._clock = clock
        self._end = 0.0
        self.start()

    def start(self) -> None:
        """Begin to count anew."""
        self._end = self._clock() + self._seconds

    def left(self, most: float | None) -> float:
        """Return for how many seconds to wait, ``most`` at most.

        :raises TimeoutError: it is over
        """
        left = self._end - self._clock()
        if left <= 0:
            raise TimeoutError("timed out")
        return left if most is None else min(left, most)


class _Timed(socket.SocketIO):
    """A socket of which no call waits beyond a deadline."""

    def __init__(self, sock: socket.socket, mode: Any, deadline: Deadline) -> None:
        super().__init__(sock, mode)
        self._socket = sock
        self._most = sock.gettimeout()
        self._deadline = deadline

    def readinto(self, buffer: Any) -> int | None:
        """Read what is there."""
        self._socket.settimeout(self._deadline.left(self._most))
        return super().readinto(buffer)

    def write(self, data: Any) -> int | None:
        """Write what fits."""
        self._socket.settimeout(self._deadline.left(self._most))
        return super().write(data)


class _Reader(makefile.StreamReader):
    def __init__(self, raw: _Timed, bufsize: int) -> None:
        # not that of the class above, which makes a socket file of its own
        super(makefile.StreamReader, self).__init__(raw, bufsize)
        self.bytes_read = 0


class _Writer(makefile.StreamWriter):
    def __init__(self, raw: _Timed, bufsize: int) -> None:
        super(makefile.StreamWriter, self).__init__(raw, bufsize)
        self.bytes_written = 0


def files(deadline: Deadline) -> Callable[..., Any]:
    """Return what makes the files of a connection, as cheroot's ``makefile``."""
    return functools.partial(_file, deadline)


def _file(deadline: Deadline, sock: socket.socket, mode: str, bufsize: int) -> Any:
    kind = _Reader if "r" in mode else _Writer
    return kind(_Timed(sock, mode, deadline), bufsize)
