# SPDX-License-Identifier: Apache-2.0
"""Queries for claims."""

from collections.abc import Collection

import sqlalchemy as sa
from sqlalchemy import orm

from kongming.db.models import Claim


def on_host(session: orm.Session, host: str) -> dict[int, str]:
    """Return who holds which pCPU of a host: ``{pCPU: instance uuid}``."""
    return by_hosts(session, [host]).get(host, {})


def by_hosts(session: orm.Session, hosts: Collection[str]) -> dict[str, dict[int, str]]:
    """Return who holds which pCPU of several hosts: ``{host: {pCPU: instance uuid}}``."""
    found: dict[str, dict[int, str]] = {}
    query = sa.select(Claim.host, Claim.pcpu, Claim.instance_uuid).where(Claim.host.in_(hosts))
    for host, pcpu, holder in session.execute(query):
        found.setdefault(host, {})[pcpu] = holder
    return found


def change(
    session: orm.Session, host: str, dropped: Collection[int], added: dict[int, str]
) -> None:
    """Drop claims on pCPUs of a host and add others (``{pCPU: instance uuid}``)."""
    if dropped:
        session.execute(
            sa.delete(Claim).where(Claim.host == host, Claim.pcpu.in_(dropped)),
            execution_options={"synchronize_session": False},
        )
    if added:
        session.execute(
            sa.insert(Claim).values(
                [
                    {"host": host, "pcpu": pcpu, "instance_uuid": holder}
                    for pcpu, holder in added.items()
                ]
            )
        )


def drop(session: orm.Session, host: str, uuid: str) -> None:
    """Drop the claims of one instance on a host."""
    query = sa.delete(Claim).where(Claim.instance_uuid == uuid, Claim.host == host)
    session.execute(query, execution_options={"synchronize_session": False})


def drop_elsewhere(session: orm.Session, host: str, uuids: Collection[str]) -> None:
    """Drop all claims of some instances except those on ``host``."""
    query = sa.delete(Claim).where(Claim.instance_uuid.in_(uuids), Claim.host != host)
    session.execute(query, execution_options={"synchronize_session": False})
