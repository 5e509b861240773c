# SPDX-License-Identifier: Apache-2.0
"""Where the parts of an instance are, as every resource shows it."""

from typing import Any, ClassVar

from wsme import types as wtypes

from kongming import exception
from kongming.api.microversion import Version
from kongming.topology import grammar


class Raw(wtypes.UserType):
    """JSON as it is, for what `topology.wish` alone understands."""

    basetype = str
    name = "JSON"
    #: Any, unless the type that has the field knows better.
    schema: ClassVar[dict[str, Any]] = {}

    def read(self, value: Any, path: str) -> Any:
        """Return the value.

        :raises BadRequest: it is null, which stands for nothing
        """
        if value is None:
            raise exception.BadRequest.field(path, "must not be null")
        return value


class Memory(wtypes.Base):
    """NUMA nodes for the memory of an instance, whether it moves there, the size of its pages."""

    _grammar = grammar.MEMORY
    _since: ClassVar[dict[str, Version]] = {"migrate": Version(1, 9)}
    _shape: ClassVar[dict[str, Any]] = {
        "minProperties": 1,
        "dependentRequired": {"migrate": ["nodes"]},
    }

    nodes = wtypes.text
    migrate = bool
    page_size_kib = Raw()


class Placement(wtypes.Base):
    """Where the parts of an instance are; parts that are not controlled are absent.

    ``memory_at_start`` are the NUMA nodes from which it takes memory when it starts next.
    """

    vcpus = wtypes.DictType(wtypes.text, wtypes.text)
    emulator = wtypes.text
    iothreads = wtypes.DictType(wtypes.text, wtypes.text)
    memory = Memory
    memory_at_start = wtypes.text
    qos = Raw()
