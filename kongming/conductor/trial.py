# SPDX-License-Identifier: Apache-2.0
"""Whether all who follow a template would have a place with another version of it.

Nothing is written: the books of each host are kept in memory as the rollout would change them,
batch by batch, in its order. What the wish of one leaves free the next one may get.
"""

import contextlib
import dataclasses
import itertools
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from sqlalchemy import orm

from kongming import exception
from kongming.conductor import claims, wishes
from kongming.conductor.retry import Moved
from kongming.db import engine, hosts, models, pins, rollouts, templates
from kongming.objects.pin import FAILED
from kongming.topology.books import Holding
from kongming.topology.placement import Placement


@dataclasses.dataclass(frozen=True)
class Followed:
    """A template with all who follow it and their hosts, locked for the length of a transaction."""

    session: orm.Session
    template: models.Template
    pins: Sequence[models.Pin]
    hosts: Mapping[str, models.Host]
    instances: Mapping[str, models.Instance]


@contextlib.contextmanager
def everything_that_follows(template_id: str) -> Iterator[Followed]:
    """Open a transaction that has locked a template; to be called in a `retried` function.

    :raises TemplateNotFound:
    """
    with engine.reader() as session:
        expected = _hosts_of(rollouts.instances(session, template_id))
    with engine.writer() as session:
        held = hosts.lock_all(session, expected) if expected else {}
        rows = rollouts.lock_followers(session, template_id)
        template = templates.lock(session, template_id)
        if template is None:
            raise exception.TemplateNotFound(template_id=template_id)
        instances = rollouts.instances(session, template_id)
        # in PostgreSQL one may have begun to follow while the template was waited for
        now = {follower.uuid for follower in rollouts.followers(session, template_id)}
        if now != {row.instance_uuid for row in rows} or not _hosts_of(instances) <= set(held):
            raise Moved(template_id)
        yield Followed(session, template, rows, held, instances)


def insist(followed: Followed, content: Mapping[str, Any], batch_size: int) -> None:
    """Insist that each who follows would have a place if the template said this.

    :raises BadRequest, DoesNotFit: naming each instance that would have none, and why
    """
    refused: list[tuple[str, exception.KongMingError]] = []
    ledgers: dict[str, claims.Ledger] = {}
    pending = iter(followed.pins)
    while batch := list(itertools.islice(pending, batch_size)):
        moved: list[tuple[claims.Ledger, _Place]] = []
        for row in batch:
            try:
                moved += _try(followed, ledgers, row, content)
            except exception.NOT_GRANTED as error:
                refused.append((row.instance_uuid, error))
        for ledger, place in moved:
            # its host confirms that it left where it was
            ledger.settle(dataclasses.replace(place, in_force=place.placement))
    if not refused:
        return
    problems = [
        (code, f"instance {uuid}: {sentence}")
        for uuid, error in refused
        for code, sentence in error.errors
    ]
    if all(error.status == exception.Conflict.status for _, error in refused):
        raise exception.DoesNotFit(problems=problems)
    raise exception.BadRequest(problems=problems)


@dataclasses.dataclass(frozen=True)
class _Place:
    """What `claims.Ledger.settle` looks at of a pin."""

    instance_uuid: str
    placement: Placement
    holding: Holding
    in_force: Placement


def _try(
    followed: Followed,
    ledgers: dict[str, claims.Ledger],
    row: models.Pin,
    content: Mapping[str, Any],
) -> list[tuple[claims.Ledger, _Place]]:
    """Note the place that a pin would get, and return it, unless its instance is nowhere."""
    session, uuid = followed.session, row.instance_uuid
    wish = wishes.base(session, row, content)
    instance = followed.instances.get(uuid)
    if instance is None or claims.is_others(row, instance):
        return []
    if wish == row.wish and row.status != FAILED:
        return []
    name = instance.host
    if name not in ledgers:
        rows = pins.lock_on_host(session, name)
        ledgers[name] = claims.Ledger(session, followed.hosts[name], rows)
    ledger = ledgers[name]
    size = claims.size_of(instance)
    placement, holding = ledger.place(wish, uuid, size, ours=bool(row.placed))
    former = (row.in_force or Placement()).joined(row.placement)
    place = _Place(uuid, placement, holding, former)
    ledger.settle(place)
    return [(ledger, place)]


def _hosts_of(instances: Mapping[str, models.Instance]) -> set[str]:
    return {instance.host for instance in instances.values()}
