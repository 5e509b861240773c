# SPDX-License-Identifier: Apache-2.0
"""The control groups that libvirt has made for the parts of one instance, in version 1 or 2.

libvirt refuses some changes that the kernel allows: those are made here, in the same files.
"""

import functools
import os
import re
from collections.abc import Iterator, Mapping

from kongming.hypervisor import files
from kongming.topology.placement import EMULATOR, Part

_NAME = re.compile(r"/(emulator|(vcpu|iothread)(\d+))$")


class GroupError(OSError):
    """A part has no control group of its own, or its group lacks a file."""


class Groups:
    """The groups of a process. Files are named as the kernel does: ``cpuset.mems``, ``cpu.max``.

    A number of QoS is in the group of the part that it is of, and those of the whole instance in
    the group around them. Under systemd that one lies in a scope, which has the weight.

    Every method raises OSError when the process is gone, or the kernel refuses.
    """

    def __init__(self, pid: int, proc: str = "/proc") -> None:
        self._tasks = f"{proc}/{pid}/task"
        self._mounts = _mounts(files.read(f"{proc}/self/mountinfo"))
        self._found: dict[str, dict[Part, str]] = {}

    def version(self, controller: str) -> int:
        """Return 1 or 2: in which hierarchy a controller such as ``cpu`` is."""
        return 1 if controller in self._mounts else 2

    def parts(self, controller: str) -> list[Part]:
        """Return the parts that have a group of their own, to which the controller applies."""
        return sorted(self._paths(controller))

    def read(self, part: Part, file: str) -> str:
        """Return what a file of the group of a part says.

        :raises GroupError: the part has no group of its own, or no such file
        """
        try:
            return files.read(self._path(part, file)).strip()
        except FileNotFoundError as error:
            raise _missing(part, file) from error

    def write(self, part: Part, file: str, text: str) -> None:
        """Write to a file of the group of a part.

        :raises GroupError: the part has no group of its own, or no such file
        """
        # an empty text would not reach the kernel without the end of the line
        try:
            with open(self._path(part, file), "w", encoding="utf-8", opener=_existing) as stream:
                stream.write(f"{text}\n")
        except FileNotFoundError as error:
            raise _missing(part, file) from error

    def _path(self, part: Part, file: str) -> str:
        paths = self._paths(file.partition(".")[0])
        if part.owner in ("cpu", "global"):
            path = paths[EMULATOR].rpartition("/")[0] if EMULATOR in paths else None
            if path is not None and part.owner == "cpu":
                path = path.removesuffix("/libvirt")
        else:
            path = paths.get(_owner(part))
        if path is None:
            raise _missing(part, file)
        return f"{path}/{file}"

    def _paths(self, controller: str) -> dict[Part, str]:
        if controller in self._found:
            return self._found[controller]
        hierarchy = controller if controller in self._mounts else ""
        found = self._found[controller] = {}
        for tid in os.listdir(self._tasks):
            try:
                lines = _lines(files.read(f"{self._tasks}/{tid}/cgroup"))
            except (FileNotFoundError, ProcessLookupError):
                continue  # QEMU's workers come and go
            for _, controllers, path in (line.split(":", 2) for line in lines):
                name = _NAME.search(path)
                if name and hierarchy in controllers.split(","):
                    root, point = self._mounts[hierarchy]
                    inside = path.removeprefix(root.rstrip("/"))
                    found[_part(name)] = f"{point}{inside}"
        return found


def _existing(path: str, flags: int) -> int:
    return os.open(path, flags & ~os.O_CREAT)


def _missing(part: Part, file: str) -> GroupError:
    return GroupError(f"libvirt has made no control group with {file} for {part}")


def _owner(part: Part) -> Part:
    if part.owner == "vcpu":
        return Part("vcpu", part.number)
    return Part("iothread", part.number) if part.owner == "iothread" else EMULATOR


def _part(name: re.Match[str]) -> Part:
    if name[1] == "emulator":
        return EMULATOR
    return Part("vcpu" if name[2] == "vcpu" else "iothread", int(name[3]))


def _lines(text: str) -> Iterator[str]:
    # names may have in them what else ends a line
    return filter(None, text.split("\n"))


# it hardly ever changes, but is long
@functools.lru_cache(maxsize=1)
def _mounts(text: str) -> Mapping[str, tuple[str, str]]:
    """Return root and mount point of each hierarchy: by controller, the unified one by ``""``."""
    found = {}
    for line in _lines(text):
        mount, _, filesystem = line.partition(" - ")
        root, point = mount.split(" ")[3:5]
        kind, _, options = filesystem.split(" ", 2)
        if kind == "cgroup2":
            found[""] = root, point
        elif kind == "cgroup":
            found.update(dict.fromkeys(options.split(","), (root, point)))
    return found
