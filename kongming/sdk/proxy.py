# SPDX-License-Identifier: Apache-2.0
"""``conn.resource_pin``: the calls of KongMing's API.

Each request asks for the newest version of the API that both sides know, unless
``resource_pin_api_version: "1.N"`` in clouds.yaml names one. What the API refuses is an exception
of ``openstack.exceptions``; `kongming.sdk.base.errors` tells its stable codes.
"""

import time
from collections.abc import Callable, Iterator
from typing import Any, TypeVar
from urllib import parse

from keystoneauth1 import exceptions as keystone_exceptions
from openstack import exceptions, proxy

from kongming.sdk.calendar import Calendar, Previewed, Scheduled
from kongming.sdk.candidates import Candidates
from kongming.sdk.host import Host
from kongming.sdk.instance import Instance
from kongming.sdk.pin import Event, Move, Pin
from kongming.sdk.quota import Quota
from kongming.sdk.template import Rollout, Template, Version

_Found = TypeVar("_Found")
#: What a proxy answers while no API does, or an API while nothing that it needs does.
_AWAY = (502, 503, 504)


class Proxy(proxy.Proxy):
    """The calls; ``pin`` stands for a `Pin` or the UUID of its instance."""

    def _get_resource(self, resource_type: Any, value: Any, **attributes: Any) -> Any:
        # the path would be that of the list
        if value == "":
            noun = resource_type.__name__.lower()
            raise exceptions.InvalidRequest(f"The {noun} has no name or id.")
        return super()._get_resource(resource_type, value, **attributes)

    def pins(self, **query: Any) -> Iterator[Pin]:
        """Yield the pins that the caller may see.

        :param query: ``host``, ``project_id``, ``status``, ``user_id`` to filter; ``sort``,
            ``limit`` (of a page) and ``marker``
        """
        yield from self._list(Pin, **query)

    def get_pin(self, pin: str | Pin) -> Pin:
        """Return a pin."""
        return self._get(Pin, pin)

    def create_pin(self, **body: Any) -> Pin:
        """Pin the instance ``instance_uuid`` as the other arguments, see `Pin`, say."""
        return self._create(Pin, **body)

    def update_pin(self, pin: str | Pin, generation: int | None = None, **wish: Any) -> Pin:
        """Replace the whole wish of a pin.

        :param generation: if given, only if that is still the present one
        """
        body = wish if generation is None else wish | {"generation": generation}
        return self._get_resource(Pin, pin).replace(self, body)

    def delete_pin(self, pin: str | Pin, ignore_missing: bool = True) -> None:
        """Delete a pin and give its instance back the CPUs that it may use without."""
        self._delete(Pin, pin, ignore_missing=ignore_missing)

    def pin_history(self, pin: str | Pin) -> Iterator[Event]:
        """Yield the life of a pin, oldest event first; it outlives the pin."""
        uuid = self._get_resource(Pin, pin).id
        yield from self._list(Event, paginated=False, instance_uuid=uuid)

    def get_pin_move(self, pin: str | Pin) -> Move:
        """Return how far the memory of an instance has moved."""
        uuid = self._get_resource(Pin, pin).id
        return self._get(Move, requires_id=False, instance_uuid=uuid)

    def cancel_pin_move(self, pin: str | Pin) -> None:
        """Call a move off: everything returns to where it was, and the pin fails."""
        uuid = self._get_resource(Pin, pin).id
        self._delete(Move, None, ignore_missing=False, instance_uuid=uuid)

    def follow_pin(self, pin: str | Pin, seconds: float = 300, pause: float = 0.5) -> Iterator[Pin]:
        """Yield a pin again and again until it is applied, or has failed.

        :param pause: seconds between two requests, after the first few
        :raises ResourceTimeout: neither within so many seconds
        """
        for found in _again(lambda: self.get_pin(pin), seconds, pause):
            yield found
            if found.status in ("applied", "failed"):
                return
        raise exceptions.ResourceTimeout(
            f"The pin of instance {found.id} is still {found.status} after {seconds:g} s"
        )

    def wait_for_pin(self, pin: str | Pin, seconds: float = 300, pause: float = 0.5) -> Pin:
        """Return a pin once it is applied.

        :raises ResourceFailure: it has failed; the reason is told
        :raises ResourceTimeout: neither within so many seconds
        """
        *_, last = self.follow_pin(pin, seconds, pause)
        if last.status == "failed":
            raise exceptions.ResourceFailure(
                f"The pin of instance {last.id} has failed: {last.reason}"
            )
        return last

    def templates(self, **query: Any) -> Iterator[Template]:
        """Yield the templates that the caller may see.

        :param query: ``name``, ``project_id`` to filter; the others as for `pins`
        """
        yield from self._list(Template, **query)

    def get_template(self, template: str | Template) -> Template:
        """Return a template, by its id."""
        return self._get(Template, template)

    def create_template(self, **body: Any) -> Template:
        """Make a template with a ``name``, and either a ``wish`` or ``roles``."""
        return self._create(Template, **body)

    def update_template(
        self, template: str | Template, version: int | None = None, **content: Any
    ) -> Template:
        """Give a template a new version; its ``rollout_id`` tells how those who follow get it.

        :param version: if given, only if that is still the newest one
        :param content: ``wish`` or ``roles``; ``shared``, ``batch_size``
        """
        body = content if version is None else content | {"version": version}
        return self._get_resource(Template, template).replace(self, body)

    def delete_template(self, template: str | Template, ignore_missing: bool = True) -> None:
        """Delete a template that no pin follows."""
        self._delete(Template, template, ignore_missing=ignore_missing)

    def template_versions(self, template: str | Template) -> Iterator[Version]:
        """Yield what a template has said, oldest version first."""
        template_id = self._get_resource(Template, template).id
        yield from self._list(Version, paginated=False, template_id=template_id)

    def get_template_version(self, template: str | Template, version: int) -> Version:
        """Return what a template said at a version."""
        template_id = self._get_resource(Template, template).id
        return self._get(Version, str(version), template_id=template_id)

    def rollouts(self, **query: Any) -> Iterator[Rollout]:
        """Yield the rollouts that the caller may see.

        :param query: ``project_id``, ``state``, ``template_id`` to filter; the others as for `pins`
        """
        yield from self._list(Rollout, **query)

    def get_rollout(self, rollout: str | Rollout) -> Rollout:
        """Return a rollout."""
        return self._get(Rollout, _key(rollout))

    def create_rollout(self, template: str, version: int, batch_size: int = 1) -> Rollout:
        """Let those who follow a template, by name or id, have some version of it."""
        body: dict[str, Any] = {"template": template, "version": version}
        return self._create(Rollout, **body, batch_size=batch_size)

    def cancel_rollout(self, rollout: str | Rollout) -> None:
        """Let a rollout go back; one that is queued never begins."""
        self._delete(Rollout, _key(rollout), ignore_missing=False)

    def follow_rollout(
        self, rollout: str | Rollout, seconds: float = 3600, pause: float = 0.5
    ) -> Iterator[Rollout]:
        """Yield a rollout again and again until it has ended: completed, returned or failed.

        :raises ResourceTimeout: it has not within so many seconds
        """
        for found in _again(lambda: self.get_rollout(rollout), seconds, pause):
            yield found
            if found.state in ("completed", "returned", "failed"):
                return
        raise exceptions.ResourceTimeout(
            f"Rollout {found.id} is still {found.state} after {seconds:g} s"
        )

    def calendars(self, **query: Any) -> Iterator[Calendar]:
        """Yield the calendars that the caller may see.

        :param query: ``name``, ``project_id`` to filter; the others as for `pins`
        """
        yield from self._list(Calendar, **query)

    def get_calendar(self, calendar: str | Calendar) -> Calendar:
        """Return a calendar, by its id."""
        return self._get(Calendar, calendar)

    def create_calendar(self, **body: Any) -> Calendar:
        """Make a calendar; the arguments are `Calendar.FIELDS`."""
        return self._create(Calendar, **body)

    def update_calendar(
        self, calendar: str | Calendar, generation: int | None = None, **fields: Any
    ) -> Calendar:
        """Replace a calendar.

        :param generation: if given, only if that is still the present one
        """
        body = fields if generation is None else fields | {"generation": generation}
        return self._get_resource(Calendar, calendar).replace(self, body)

    def delete_calendar(self, calendar: str | Calendar, ignore_missing: bool = True) -> None:
        """Delete a calendar; its pins return to what they ask for themselves."""
        self._delete(Calendar, calendar, ignore_missing=ignore_missing)

    def preview_calendar(self, calendar: str | Calendar, days: int = 30) -> Iterator[Previewed]:
        """Yield when a calendar will have its way."""
        calendar_id = self._get_resource(Calendar, calendar).id
        yield from self._list(Previewed, paginated=False, calendar_id=calendar_id, days=days)

    def pin_schedule(self, pin: str | Pin, days: int = 30) -> Iterator[Scheduled]:
        """Yield what calendars will have in force for a pin, and when."""
        uuid = self._get_resource(Pin, pin).id
        yield from self._list(Scheduled, paginated=False, instance_uuid=uuid, days=days)

    def quotas(self, **query: Any) -> Iterator[Quota]:
        """Yield the projects for which limits were set; ``limit`` and ``marker`` as for `pins`."""
        yield from self._list(Quota, **query)

    def get_quota(self, project: str | Quota) -> Quota:
        """Return the limits of a project, by its id, and what of them is in use."""
        return self._get(Quota, _key(project))

    def set_quota(self, project: str | Quota, **limits: int) -> Quota:
        """Set the limits of a project; of `Quota.RESOURCES` what is not named is as by default."""
        return self._get_resource(Quota, _key(project)).replace(self, limits)

    def reset_quota(self, project: str | Quota) -> None:
        """Return to the default limits of a project."""
        self._delete(Quota, _key(project), ignore_missing=False)

    def hosts(self, **query: Any) -> Iterator[Host]:
        """Yield the hosts; ``sort``, ``limit`` and ``marker`` as for `pins`."""
        yield from self._list(Host, **query)

    def get_host(self, host: str | Host) -> Host:
        """Return a host."""
        return self._get(Host, _key(host))

    def instances(self, **query: Any) -> Iterator[Instance]:
        """Yield the instances that the caller may see.

        :param query: ``host``, ``name``, ``project_id``, ``state``, ``user_id`` to filter; the
            others as for `pins`
        """
        yield from self._list(Instance, **query)

    def get_instance(self, instance: str | Instance) -> Instance:
        """Return an instance."""
        return self._get(Instance, instance)

    def candidates(self, **question: Any) -> Candidates:
        """Tell on which hosts a wish would fit, and why not elsewhere; see `Candidates`."""
        return self._create(Candidates, **question)


def _key(value: Any) -> Any:
    """Return what is one segment of a path, whatever somebody gave for a name or id."""
    return parse.quote(value, safe="") if isinstance(value, str) else value


def _again(get: Callable[[], _Found], seconds: float, pause: float) -> Iterator[_Found]:
    """Yield what is found again and again, for so many seconds.

    An API that is away is waited for as well: moves go on meanwhile.
    """
    end = time.monotonic() + seconds
    nap = 0.1
    while True:
        away: Exception | None = None
        try:
            found = get()
        except keystone_exceptions.ConnectFailure as error:
            away = error
        except exceptions.HttpException as error:
            if error.status_code not in _AWAY:
                raise
            away = error
        if away is None:
            yield found
        if time.monotonic() + nap > end:
            if away is not None:
                raise away
            return
        time.sleep(nap)
        nap = min(pause, nap * 1.5)
