# SPDX-License-Identifier: Apache-2.0
"""KongmingFilter, for nova-scheduler: keeps the hosts on which KongMing has a place."""

import logging
from collections.abc import Iterable, MutableMapping
from typing import Any

from nova import exception
from nova.scheduler import filters, utils
from oslo_config import cfg
from oslo_log import log as oslo_logging

from kongming.compute import choice, hint, options
from kongming.compute.client import Client, Unavailable

CONF = cfg.CONF
options.register(CONF)
LOG = oslo_logging.getLogger(__name__)

#: On a request whose last instance got its one host: that instance, and the other hosts.
_LEFT = "_kongming_left"


class KongmingFilter(filters.BaseHostFilter):
    """Passes the hosts that will do for the hint ``resource_pin`` or the pin of an instance."""

    def __init__(self) -> None:
        super().__init__()
        self._client = Client(CONF)
        self._passes_on_error = CONF[options.GROUP].on_error == "pass"

    def filter_all(self, filter_obj_list: Iterable[Any], spec_obj: Any) -> list[Any]:
        """Return the HostStates that will do, best first.

        :raises NoValidHost: none will do, for a reason that the user shall read
        """
        states = list(filter_obj_list)
        # Nova heeds RUN_ON_REBUILD only where hosts are filtered one by one
        if not states or utils.request_is_rebuild(spec_obj):
            return states
        log = _log(spec_obj)
        try:
            return self._filter(states, spec_obj, log)
        except choice.NoHost as error:
            log.info("no host will do: %s", error)
            raise exception.NoValidHost(reason=str(error)) from error
        except Unavailable as error:
            log.warning("%s: %s", error, error.__cause__)
            reason = str(error)
        except Exception:
            # anything but NoValidHost would leave some servers in their state for good
            log.exception("the filter failed")
            reason = "the scheduler's filter failed"
        hinted = spec_obj.get_scheduler_hint(hint.NAME) is not None
        if hinted and not self._passes_on_error:
            raise exception.NoValidHost(reason=f"{hint.NAME}: {reason}")
        log.warning("all %d hosts pass without KongMing", len(states))
        return states

    def _filter(self, states: list[Any], spec_obj: Any, log: Any) -> list[Any]:
        last, left = getattr(spec_obj, _LEFT, (None, []))
        if last == spec_obj.instance_uuid:
            # alternates are asked for, and there can be none: the place is kept on one host
            return states
        request = _request(spec_obj, log)
        try:
            return self._choose(request, spec_obj, states, left)
        except choice.NoHost:
            if not left or _bound_to_group(spec_obj):
                raise
            return self._choose(request, spec_obj, left, states)

    def _choose(
        self, request: choice.Request, spec_obj: Any, states: list[Any], others: list[Any]
    ) -> list[Any]:
        names = list(dict.fromkeys(state.host for state in states))
        found = choice.choose(self._client, request, names)
        if found.kept:
            # Of several instances in one request, Nova offers to each only the hosts that the one
            # before was given, though the others may still do. The object lives as long as the
            # request.
            rest = [state for state in states if state.host not in found.hosts]
            setattr(spec_obj, _LEFT, (request.instance_uuid, rest + others))
        return [state for host in found.hosts for state in states if state.host == host]


class _Log(logging.LoggerAdapter[Any]):
    def process(self, msg: str, kwargs: MutableMapping[str, Any]) -> tuple[str, Any]:
        """Put request and instance first."""
        extra: Any = self.extra
        return f"[{extra['request_id']}] [instance: {extra['uuid']}] {msg}", kwargs


def _log(spec_obj: Any) -> _Log:
    """Return a logger that names the request and the instance, as Nova does."""
    about = {"request_id": spec_obj._context.request_id, "uuid": spec_obj.instance_uuid}
    return _Log(LOG, about)


def _request(spec_obj: Any, log: _Log) -> choice.Request:
    owner = {"project_id": spec_obj.project_id}
    if spec_obj.user_id:
        owner["user_id"] = spec_obj.user_id
    return choice.Request(
        instance_uuid=spec_obj.instance_uuid,
        owner=owner,
        request_id=spec_obj._context.global_id,
        hint=spec_obj.get_scheduler_hint(hint.NAME),
        vcpus=spec_obj.flavor.vcpus,
        memory_mib=spec_obj.flavor.memory_mb,
        dedicated=_is_dedicated(spec_obj),
        exact=not set(CONF[options.GROUP].exact_roles).isdisjoint(spec_obj._context.roles),
        log=log,
    )


def _is_dedicated(spec_obj: Any) -> bool:
    """Whether Nova gives the instance pCPUs for itself."""
    topology = spec_obj.numa_topology if "numa_topology" in spec_obj else None
    return topology is not None and any(cell.pcpuset for cell in topology.cells)


def _bound_to_group(spec_obj: Any) -> bool:
    """Whether filters for a server group would judge the same hosts anew for this instance."""
    group = spec_obj.instance_group
    return group is not None and not (group.policy or "").startswith("soft-")
