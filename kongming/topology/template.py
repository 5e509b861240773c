# SPDX-License-Identifier: Apache-2.0
"""A template: one wish, or one for each of several roles, that many instances follow.

Its content is JSON: ``{"wish": {…}}`` or ``{"roles": {"NAME": {…}}}``, each a wish as in the body
of a pin.
"""

import re
import uuid
from collections.abc import Mapping
from typing import Any, NamedTuple

from kongming.topology.wish import Wish, WishError

#: How many roles a template may have.
MAX_ROLES = 64
#: What names of templates and of roles look like; none is a UUID.
NAME = "[A-Za-z0-9][A-Za-z0-9_.-]{0,63}"
_NAME = re.compile(NAME)


class Reference(NamedTuple):
    """``NAME`` or ``NAME/ROLE``, as pins, hints and metadata name a template; or its id."""

    name: str
    role: str | None

    @classmethod
    def parse(cls, value: Any) -> "Reference":
        """Return what a text refers to.

        :raises WishError: it cannot refer to a template
        """
        name, slash, role = value.partition("/") if isinstance(value, str) else ("", "", "")
        if not _NAME.fullmatch(name) or (slash and not _NAME.fullmatch(role)):
            raise WishError("template", "must read NAME or NAME/ROLE")
        return cls(name, role or None)

    @property
    def id(self) -> str | None:
        """The id, if it is one and not a name."""
        try:
            return str(uuid.UUID(self.name))
        except ValueError:
            return None


def name(field: str, value: str) -> str:
    """Return ``value``, which can name a template or a role.

    :raises WishError: it cannot
    """
    if not _NAME.fullmatch(value):
        raise WishError(
            field, "must be 1 to 64 of A-Z a-z 0-9 _ . - and begin with a letter or digit"
        )
    if Reference(value, None).id is not None:
        raise WishError(field, "must not be a UUID")
    return value


def part(content: Mapping[str, Any], role: str | None) -> Mapping[str, Any]:
    """Return the fields that the content of a template has for a role (None: it has no roles).

    :raises WishError: there is no such role, or one has to be named
    """
    roles: Mapping[str, Mapping[str, Any]] | None = content.get("roles")
    if roles is None:
        if role is not None:
            raise WishError("template", f"has no roles, so none can be {role}")
        fields: Mapping[str, Any] = content["wish"]
        return fields
    if role is None or role not in roles:
        known = ", ".join(sorted(roles))
        missing = "a role must be named" if role is None else f"has no role {role}"
        raise WishError("template", f"{missing}; there are {known}")
    return roles[role]


def wish(content: Mapping[str, Any], role: str | None, overrides: Mapping[str, Any]) -> Wish:
    """Return the wish of a pin that follows: its own fields take the place of the template's.

    :raises WishError: the role is missing, or the fields contradict each other
    """
    return Wish.from_dict({**part(content, role), **overrides})
