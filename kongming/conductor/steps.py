# SPDX-License-Identifier: Apache-2.0
"""A version of a template goes to those who follow it, and back if it fails for one of them.

What is to be done next is told by the tables alone, and each step is a transaction that looks
again under lock: any conductor may take it, also after the one that took the last is gone.
"""

import dataclasses
from collections.abc import Sequence
from typing import Any

from oslo_utils import timeutils

from kongming import exception
from kongming.conductor import pins, trial
from kongming.conductor.claims import OTHER_PROJECT, Former
from kongming.conductor.locked import everything_of
from kongming.conductor.retry import retried
from kongming.conductor.rollouts import enter
from kongming.context import RequestContext
from kongming.db import engine, hosts, models, rollouts, templates
from kongming.db.rollouts import Follower
from kongming.objects.host import is_down
from kongming.objects.pin import FAILED as PIN_FAILED
from kongming.objects.pin import PENDING
from kongming.objects.template import COMPLETED, FAILED, QUEUED, RETURNED, RETURNING, RUNNING


@dataclasses.dataclass(frozen=True)
class Step:
    """What came of a look: whose agents have something to do, and whether to look again now."""

    hosts: frozenset[str] = frozenset()
    again: bool = False


def advance(context: RequestContext, rollout_id: str) -> Step:
    """Do what a rollout has to do next, if anything; it must be the first one of its template."""
    with engine.reader() as session:
        rollout = rollouts.get(session, rollout_id)
        if rollout is None or rollout.state not in _STEPS:
            return Step()
        session.expunge(rollout)
        followers = rollouts.followers(session, rollout.template_id)
        beats = hosts.beats(session, {f.host for f in followers if f.host is not None})
    down = {name for name, b in beats.items() if is_down(b.reported_at, b.report_interval)}
    return _STEPS[rollout.state](context, rollout, followers, down)


def _start(
    context: RequestContext,
    rollout: models.Rollout,
    followers: Sequence[Follower],
    down: set[str],
) -> Step:
    """Begin, if it still fits for all; what was found when it was asked for may be long ago."""
    try:
        _begin(rollout.id, rollout.template_id)
    except exception.NOT_GRANTED as error:
        _change(rollout.id, QUEUED, RETURNED, f"it does not fit any more: {error.message}")
    except exception.TemplateNotFound:
        _change(rollout.id, QUEUED, RETURNED, "the template was deleted")
    return Step(again=True)


@retried
def _begin(rollout_id: str, template_id: str) -> None:
    with trial.everything_that_follows(template_id) as followed:
        rollout = rollouts.lock(followed.session, rollout_id)
        if rollout is None or rollout.state != QUEUED:
            return
        content = templates.content(followed.session, template_id, rollout.version, lock=True)
        trial.insist(followed, content or {}, rollout.batch_size)
        rollout.former = followed.template.current
        rollout.total = len(followed.pins)
        enter(rollout, RUNNING, None)


def _go_on(
    context: RequestContext,
    rollout: models.Rollout,
    followers: Sequence[Follower],
    down: set[str],
) -> Step:
    """Wait for the present batch, then begin the next one; stop if one failed."""
    there = [f for f in followers if f.version == rollout.version]
    to_blame = _to_blame(rollout, there)
    if to_blame is not None:
        _fail(rollout.id, to_blame.uuid, to_blame.reason)
        return Step(again=True)
    busy = [f for f in there if _is_busy(f, down)]
    _count(rollout, len(followers), len(there) - len(busy))
    if busy:
        return Step()
    ahead = [f.uuid for f in followers if f.version != rollout.version]
    if not ahead:
        return Step(again=_complete(rollout.id, rollout.template_id))
    told = set()
    for uuid in ahead[: rollout.batch_size]:
        try:
            told.add(_give(context, rollout.id, uuid, RUNNING))
        except exception.NOT_GRANTED as error:
            _fail(rollout.id, uuid, error.message)
            return Step(_names(told), again=True)
    return Step(_names(told), again=True)


def _go_back(
    context: RequestContext,
    rollout: models.Rollout,
    followers: Sequence[Follower],
    down: set[str],
) -> Step:
    """Return those that were given the version, the last first: so each finds its place free."""
    by_uuid = {f.uuid: f for f in followers}
    touched = [by_uuid[uuid] for uuid in _touched(rollout) if uuid in by_uuid]
    ahead = [f.uuid for f in reversed(touched) if f.version == rollout.version]
    _count(rollout, len(followers), len(ahead))
    back = [f for f in touched if f.version != rollout.version]
    if any(_is_busy(f, down) for f in back):
        return Step()
    if not ahead:
        lost = [f"instance {f.uuid}: {f.reason}" for f in back if _has_failed(f)]
        if lost:
            reason = f"{rollout.reason}; not brought back: {'; '.join(lost)}"
            _change(rollout.id, RETURNING, FAILED, reason)
        else:
            _change(rollout.id, RETURNING, RETURNED, rollout.reason)
        return Step(again=True)
    told = {_give(context, rollout.id, uuid, RETURNING) for uuid in ahead[: rollout.batch_size]}
    return Step(_names(told), again=True)


_STEPS = {QUEUED: _start, RUNNING: _go_on, RETURNING: _go_back}


def _touched(rollout: models.Rollout) -> dict[str, dict[str, Any] | None]:
    """Return what those had that were given the version, by uuid, in that order."""
    return {each["uuid"]: each["had"] for each in rollout.touched}


def _has_failed(follower: Follower) -> bool:
    """Whether a pin failed for which anything was done at all."""
    return follower.status == PIN_FAILED and follower.reason != OTHER_PROJECT


def _to_blame(rollout: models.Rollout, there: Sequence[Follower]) -> Follower | None:
    """Return the first of those that have the version and failed since they were given it."""
    touched = _touched(rollout)
    return next((f for f in there if _has_failed(f) and f.uuid in touched), None)


def _is_busy(follower: Follower, down: set[str]) -> bool:
    """Whether the host of a pin has yet to act; one that is down does so when it is back."""
    return follower.status == PENDING and follower.host not in down


@retried
def _give(context: RequestContext, rollout_id: str, uuid: str, state: str) -> str | None:
    """Give a pin the version that it shall have in a state of a rollout, which must last.

    On the way back a pin that finds no place fails; its host tries again with each report.

    :returns: the host that has to act
    """
    with everything_of(uuid) as held:
        rollout = rollouts.lock(held.session, rollout_id)
        row = held.pin
        if rollout is None or rollout.state != state or row is None:
            return None
        version = rollout.version if state == RUNNING else rollout.former
        # whom it follows is up to its owner, who may have thought better of it
        if row.template_id != rollout.template_id or row.template_version == version:
            return None
        touched = _touched(rollout)
        if state == RUNNING and uuid not in touched:
            had = Former.of(row)
            entry = {"uuid": uuid, "had": had and had.to_dict()}
            rollout.touched = [*rollout.touched, entry]
        row.template_version = version
        asked_by = {
            "kind": "rollout",
            "id": rollout.id,
            "template": rollout.template_name,
            "role": row.template_role,
            "version": version,
        }
        if state == RUNNING:
            pins.revise(context, held, asked_by)
        else:
            before = touched[uuid]
            former = None if before is None else Former.from_dict(before)
            pins.revise(context, held, asked_by, forced=True, former=former)
        return row.host


@retried
def _complete(rollout_id: str, template_id: str) -> bool:
    """End a rollout after which nobody has another version; return whether to look again.

    Where each statement sees what was committed before it, another conductor may have given the
    version, and a pin failed with it, between the looks at the rollout and at its followers.
    """
    with engine.writer() as session:
        template = templates.lock(session, template_id)
        rollout = rollouts.lock(session, rollout_id)
        if template is None or rollout is None or rollout.state != RUNNING:
            return False
        followers = rollouts.followers(session, template_id)
        if any(f.version != rollout.version for f in followers) or _to_blame(rollout, followers):
            return True
        template.current = rollout.version
        template.updated_at = timeutils.utcnow()
        rollout.total = rollout.done = len(followers)
        enter(rollout, COMPLETED, None)
        return False


@retried
def _fail(rollout_id: str, uuid: str, reason: str | None) -> None:
    with engine.writer() as session:
        rollout = rollouts.lock(session, rollout_id)
        if rollout is not None and rollout.state == RUNNING:
            rollout.failed_pin = uuid
            enter(rollout, RETURNING, f"instance {uuid}: {reason}")


@retried
def _change(rollout_id: str, state: str, new: str, reason: str | None) -> None:
    with engine.writer() as session:
        rollout = rollouts.lock(session, rollout_id)
        if rollout is not None and rollout.state == state:
            enter(rollout, new, reason)


@retried
def _count(seen: models.Rollout, total: int, done: int) -> None:
    if (seen.total, seen.done) == (total, done):
        return
    with engine.writer() as session:
        rollout = rollouts.lock(session, seen.id)
        if rollout is not None and rollout.state == seen.state:
            rollout.total, rollout.done = total, done
            rollout.updated_at = timeutils.utcnow()


def _names(told: set[str | None]) -> frozenset[str]:
    return frozenset(name for name in told if name is not None)
