# SPDX-License-Identifier: Apache-2.0
"""Everything KongMing refuses or fails with.

::

    KongMingError                     500
    ├── BadRequest                    400  (several errors at once)
    ├── Forbidden                     403
    │   ├── CpuTimeForbidden               (several errors at once)
    │   ├── PlacesForbidden                (several errors at once)
    │   └── QuotaExceeded
    ├── NotFound                      404
    │   ├── CalendarNotFound
    │   ├── HostNotFound
    │   ├── InstanceNotFound
    │   ├── MoveNotFound
    │   ├── PinNotFound
    │   ├── ReservationNotFound
    │   ├── RolloutNotFound
    │   ├── TemplateNotFound
    │   └── TemplateVersionNotFound
    ├── Conflict                      409
    │   ├── CalendarCollides
    │   ├── CpuAlreadyClaimed
    │   │   ├── CpuHeldByOthers
    │   │   └── CpuInUse
    │   ├── DoesNotFit
    │   ├── MetadataNotFollowed
    │   ├── PinExists
    │   ├── PlacedByOthers
    │   ├── RolloutIsOver
    │   ├── StaleCalendar
    │   ├── StaleGeneration
    │   ├── StaleTemplate
    │   ├── TemplateExists
    │   └── TemplateInUse
    └── Unavailable                   503
        ├── ControlPlaneUnavailable
        └── NovaUnavailable
            └── NovaRefuses

They travel over RPC: each is rebuilt from its message and keyword arguments.
"""

from collections.abc import Iterable
from typing import Any

from kongming.topology import cpuset
from kongming.topology.answer import Reason
from kongming.topology.books import Contest


class KongMingError(Exception):
    """Base of all; ``kwargs`` fill ``template`` unless a message is given."""

    status = 500
    code = "resource_pin.internal_error"
    template = "An unexpected error occurred."

    def __init__(self, message: str | None = None, **kwargs: Any) -> None:
        self.kwargs = kwargs
        super().__init__(message or self.template.format(**kwargs))

    @property
    def message(self) -> str:
        """The sentence for people; unlike ``str()`` never with a remote trace."""
        return str(self.args[0])

    @property
    def errors(self) -> list[tuple[str, str]]:
        """The stable code and the sentence of each thing that is wrong."""
        return [(self.code, self.message)]

    @property
    def details(self) -> dict[str, str]:
        """Fields that each of the errors has beside those that all have."""
        return {}


#: How many problems are told at once: a few words of a wish can be about thousands of vCPUs.
_MOST_PROBLEMS = 100


class SeveralProblems(KongMingError):
    """Something with more than one reason; ``problems`` lists (code, sentence), not endlessly."""

    def __init__(self, message: str | None = None, *, problems: Any = ()) -> None:
        self.problems = [(code, detail) for code, detail in problems]
        if more := self.problems[_MOST_PROBLEMS:]:
            code, detail = self.problems[_MOST_PROBLEMS - 1]
            last = (code, f"{detail}; and {len(more)} more")
            self.problems = [*self.problems[: _MOST_PROBLEMS - 1], last]
        super().__init__(
            message or "; ".join(detail for _, detail in self.problems), problems=self.problems
        )

    @property
    def errors(self) -> list[tuple[str, str]]:
        """Every problem."""
        return self.problems or super().errors


class BadRequest(SeveralProblems):
    """One or more fields of a request are wrong."""

    status = 400
    code = "resource_pin.invalid_field"

    @classmethod
    def field(cls, name: str, reason: str, code: str = "invalid_field") -> "BadRequest":
        """Return the error for one field."""
        return cls(problems=[(f"resource_pin.{code}", f"{name}: {reason}")])


class Forbidden(KongMingError):
    status = 403
    code = "resource_pin.forbidden"
    template = "Policy does not allow {rule}."


class PlacesForbidden(SeveralProblems, Forbidden):
    """The caller may describe what an instance needs, but not say where that is."""

    code = "resource_pin.places_forbidden"


class CpuTimeForbidden(SeveralProblems, Forbidden):
    """The caller may not ask for so much CPU time."""

    code = "resource_pin.cpu_time_forbidden"


class QuotaExceeded(Forbidden):
    """A project would have more than it may; see `kongming.conductor.quotas`."""

    code = "resource_pin.quota_exceeded"
    template = (
        "quota: project {project_id} may have {limit} {resource}, has {used}, and would have"
        " {asked} more."
    )


class NotFound(KongMingError):
    status = 404
    code = "resource_pin.not_found"
    template = "No such resource."


class CalendarNotFound(NotFound):
    code = "resource_pin.calendar_not_found"
    template = "There is no calendar {calendar_id}."


class HostNotFound(NotFound):
    code = "resource_pin.host_not_found"
    template = "Host {host} is not known."


class InstanceNotFound(NotFound):
    code = "resource_pin.instance_not_found"
    template = "instance_uuid: instance {instance_uuid} is not known on any host."


class MoveNotFound(NotFound):
    code = "resource_pin.move_not_found"
    template = "The memory of instance {instance_uuid} is not being moved."


class PinNotFound(NotFound):
    code = "resource_pin.pin_not_found"
    template = "Instance {instance_uuid} has no pin."


class ReservationNotFound(NotFound):
    code = "resource_pin.reservation_not_found"
    template = "Nothing is reserved for instance {instance_uuid}."


class RolloutNotFound(NotFound):
    code = "resource_pin.rollout_not_found"
    template = "There is no rollout {rollout_id}."


class TemplateNotFound(NotFound):
    code = "resource_pin.template_not_found"
    template = "There is no template {template_id}."


class TemplateVersionNotFound(NotFound):
    code = "resource_pin.template_version_not_found"
    template = "Template {template_id} has no version {version}."


class Conflict(KongMingError):
    status = 409
    code = "resource_pin.conflict"
    template = "The request conflicts with the present state."


class CpuAlreadyClaimed(Conflict):
    code = "resource_pin.cpu_already_claimed"
    template = "pCPU {cpus} of host {host} is already held by the pin of instance {holder}."


class DoesNotFit(SeveralProblems, Conflict):
    """The host has too little left."""

    code = "resource_pin.does_not_fit"


class CalendarCollides(SeveralProblems, Conflict):
    """What a calendar asks for does not fit in some of its windows."""

    code = "resource_pin.calendar_collides"


class CpuHeldByOthers(CpuAlreadyClaimed):
    template = (
        "pCPU {cpus} of host {host} is already held by instance {holder},"
        " to which somebody else than KongMing gave it."
    )


class CpuInUse(CpuAlreadyClaimed):
    template = (
        "pCPU {cpus} of host {host} is used by the pin of instance {holder},"
        " so that nobody else can have it alone."
    )


class MetadataNotFollowed(Conflict):
    code = "resource_pin.metadata_not_followed"
    template = (
        "metadata: no conductor hears Nova's notifications, so that the metadata of servers is"
        " not known."
    )


class PinExists(Conflict):
    code = "resource_pin.pin_exists"
    template = "Instance {instance_uuid} already has a pin; change it with PUT."


class PlacedByOthers(Conflict):
    code = "resource_pin.placed_by_others"
    template = (
        "Instance {instance_uuid} was given pCPU {cpus} of host {host} for itself by somebody else"
        " than KongMing (cpu_policy dedicated in Nova); an administrator may override that."
    )


class StaleCalendar(Conflict):
    code = "resource_pin.stale_calendar"
    template = "generation: {given} is stale, the calendar is at generation {current}."


class StaleGeneration(Conflict):
    code = "resource_pin.stale_generation"
    template = "generation: {given} is stale, the pin is at generation {current}."


class RolloutIsOver(Conflict):
    code = "resource_pin.rollout_is_over"
    template = "Rollout {rollout_id} is {state} and cannot be called off any more."


class StaleTemplate(Conflict):
    code = "resource_pin.stale_template"
    template = "version: {given} is stale, the template is at version {newest}."


class TemplateExists(Conflict):
    code = "resource_pin.template_exists"
    template = "name: there is a template {name} already."


class TemplateInUse(Conflict):
    code = "resource_pin.template_in_use"
    template = "Template {name} is {whose}."


class Unavailable(KongMingError):
    """Another service that the answer depends on is away."""

    status = 503
    code = "resource_pin.unavailable"


class ControlPlaneUnavailable(Unavailable):
    code = "resource_pin.conductor_unavailable"
    template = "No conductor answered in {seconds} s; it is not known whether it acted."


class NovaUnavailable(Unavailable):
    code = "resource_pin.nova_unavailable"
    template = "Nova does not answer, and it alone knows whose the instance is; try again."


class NovaRefuses(NovaUnavailable):
    template = "Nova refuses to answer the user of [service_credentials]."


#: What is raised when a wish is well-formed and yet not granted.
NOT_GRANTED = (BadRequest, CpuAlreadyClaimed, DoesNotFit, PlacedByOthers, QuotaExceeded)

#: What a host lacks for the moment; everything else in a reason is wrong with the wish.
_SHORTAGES = (
    "core_avoided",
    "cpus_short",
    "device_node_full",
    "instance_elsewhere",
    "memory_short",
    "nodes_excluded",
    "nodes_short",
    "pcpu_elsewhere",
    "siblings_short",
)


def refusal(reasons: Iterable[Reason]) -> BadRequest | DoesNotFit:
    """Return the error for a wish that does not fit: 400 if it never will, else 409."""
    listed = list(reasons)
    problems = [(f"resource_pin.{r.code}", f"{r.field}: {r.detail}") for r in listed]
    if all(reason.code in _SHORTAGES for reason in listed):
        return DoesNotFit(problems=problems)
    return BadRequest(problems=problems)


def contested(contest: Contest, host: str) -> CpuAlreadyClaimed:
    """Return the error for an exact place that is somebody else's."""
    errors = {"claimed": CpuAlreadyClaimed, "given": CpuHeldByOthers, "used": CpuInUse}
    cpus = cpuset.to_text(contest.cpus)
    return errors[contest.how](cpus=cpus, host=host, holder=contest.holder)
