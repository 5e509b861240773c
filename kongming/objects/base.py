# SPDX-License-Identifier: Apache-2.0
"""Base class, registry and field types of the versioned objects."""

import datetime
import uuid
from typing import TYPE_CHECKING, Any

from oslo_versionedobjects import base, fields

from kongming.timetable.overlay import Overlay
from kongming.topology.host import Host
from kongming.topology.placement import Placement
from kongming.topology.relocation import Receipt
from kongming.topology.residency import Progress
from kongming.topology.usage import Usage
from kongming.topology.wish import Wish

#: Default of a field that may be None, which the type hints of oslo.versionedobjects forbid.
NOTHING: Any = None


def is_uuid(value: Any) -> bool:
    """Whether something is a UUID in its one form, which `fields.UUIDField` only warns of."""
    try:
        return isinstance(value, str) and str(uuid.UUID(value)) == value
    except ValueError:
        return False


class Registry(base.VersionedObjectRegistry):
    """All objects of KongMing."""


class KongMingObject(base.VersionedObject, base.ComparableVersionedObject):
    """An object in KongMing's own namespace."""

    OBJ_PROJECT_NAMESPACE = "kongming"
    OBJ_SERIAL_NAMESPACE = "kongming_object"

    if TYPE_CHECKING:
        # the fields become attributes only at run time
        def __getattr__(self, name: str) -> Any: ...
        def __setattr__(self, name: str, value: Any) -> None: ...

    def obj_load_attr(self, attrname: str) -> None:
        """Take the default for what a sender of an older version does not know."""
        self.obj_set_defaults(attrname)

    @classmethod
    def from_row(cls, row: Any) -> Any:
        """Return the object with each field that the database row has."""
        values = {name: getattr(row, name) for name in cls.fields if hasattr(row, name)}
        for name, value in values.items():
            if isinstance(value, datetime.datetime) and value.tzinfo is None:
                values[name] = value.replace(tzinfo=datetime.UTC)
        return cls(**values)


class _Topology(fields.FieldType):
    """A dataclass of kongming.topology or timetable, on the wire as its ``to_dict``."""

    def __init__(self, cls: type) -> None:
        self._cls = cls

    def coerce(self, obj: Any, attr: str, value: Any) -> Any:
        if isinstance(value, self._cls):
            return value
        return self._cls.from_dict(value)  # type: ignore[attr-defined]

    def to_primitive(self, obj: Any, attr: str, value: Any) -> Any:
        return value.to_dict()

    def from_primitive(self, obj: Any, attr: str, value: Any) -> Any:
        return self._cls.from_dict(value)  # type: ignore[attr-defined]

    def get_schema(self) -> dict[str, list[str]]:
        return {"type": ["object"]}


class _Document(fields.FieldType):
    """JSON as it is."""

    def coerce(self, obj: Any, attr: str, value: Any) -> Any:
        if not isinstance(value, dict):
            raise ValueError(f"{attr} must be an object of JSON")
        return value

    def get_schema(self) -> dict[str, list[str]]:
        return {"type": ["object"]}


class DocumentField(fields.AutoTypedField):
    """An object of JSON."""

    AUTO_TYPE = _Document()


class HostTopologyField(fields.AutoTypedField):
    """A topology.host.Host."""

    AUTO_TYPE = _Topology(Host)


class OverlayField(fields.AutoTypedField):
    """A timetable.overlay.Overlay."""

    AUTO_TYPE = _Topology(Overlay)


class PlacementField(fields.AutoTypedField):
    """A topology.placement.Placement."""

    AUTO_TYPE = _Topology(Placement)


class ProgressField(fields.AutoTypedField):
    """A topology.relocation.Progress."""

    AUTO_TYPE = _Topology(Progress)


class ReceiptField(fields.AutoTypedField):
    """A topology.relocation.Receipt."""

    AUTO_TYPE = _Topology(Receipt)


class UsageField(fields.AutoTypedField):
    """A topology.usage.Usage."""

    AUTO_TYPE = _Topology(Usage)


class WishField(fields.AutoTypedField):
    """A topology.wish.Wish."""

    AUTO_TYPE = _Topology(Wish)
