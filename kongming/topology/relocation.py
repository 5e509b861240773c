# SPDX-License-Identifier: Apache-2.0
"""What came of moving the memory of an instance."""

import dataclasses
from collections.abc import Mapping
from typing import Any

from kongming.topology.residency import Residency


@dataclasses.dataclass(frozen=True)
class Receipt:
    """A move that ended well: where the memory was, where it is, and how long it took.

    ``warnings`` tell what may move it again.
    """

    before: Residency
    after: Residency
    moved_mib: int
    seconds: float
    warnings: tuple[str, ...] = ()

    def to_dict(self) -> dict[str, Any]:
        """Return JSON's form; `from_dict` reads it back."""
        return {
            "before": _texts(self.before),
            "after": _texts(self.after),
            "moved_mib": self.moved_mib,
            "seconds": self.seconds,
            "warnings": list(self.warnings),
        }

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> "Receipt":
        """Return what `to_dict` described."""
        return cls(
            before=_numbers(data["before"]),
            after=_numbers(data["after"]),
            moved_mib=data["moved_mib"],
            seconds=data["seconds"],
            warnings=tuple(data["warnings"]),
        )


def _texts(residency: Residency) -> dict[str, dict[str, int]]:
    return {
        str(size): {str(node): mib for node, mib in sorted(nodes.items())}
        for size, nodes in sorted(residency.items())
    }


def _numbers(data: Mapping[str, Mapping[str, int]]) -> dict[int, dict[int, int]]:
    return {
        int(size): {int(node): mib for node, mib in nodes.items()} for size, nodes in data.items()
    }
