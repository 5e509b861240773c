# SPDX-License-Identifier: Apache-2.0
"""The tables."""

import datetime
import json
from typing import Any

import sqlalchemy as sa
from oslo_db.sqlalchemy import models, types
from oslo_utils import timeutils
from sqlalchemy import orm
from sqlalchemy.dialects import mysql

from kongming.timetable.overlay import Overlay
from kongming.topology.books import Holding
from kongming.topology.host import Host as HostTopology
from kongming.topology.placement import Placement
from kongming.topology.relocation import Receipt
from kongming.topology.residency import Progress
from kongming.topology.wish import Wish

#: The origin of a pin that follows the metadata of its server.
METADATA = "metadata"
#: The origin of a pin that was made from the scheduler hint without the scheduler.
HINT = "hint"


class Topology(sa.types.TypeDecorator[Any]):
    """A dataclass of kongming.topology, stored as the JSON of its ``to_dict``."""

    impl = sa.Text().with_variant(mysql.LONGTEXT(), "mysql", "mariadb")
    cache_ok = True

    def __init__(self, stored: Any) -> None:
        super().__init__()
        self.stored = stored

    def process_bind_param(self, value: Any, dialect: sa.Dialect) -> str | None:
        """Return what the database stores."""
        return None if value is None else json.dumps(value.to_dict())

    def process_result_value(self, value: str | None, dialect: sa.Dialect) -> Any:
        """Return what was stored."""
        return None if value is None else self.stored.from_dict(json.loads(value))


class Base(models.ModelBase, orm.DeclarativeBase):
    """Parent of all models."""

    __table_args__: Any = {"mysql_engine": "InnoDB", "mysql_charset": "utf8mb4"}


def _uuid(**kw: Any) -> orm.MappedColumn[Any]:
    return orm.mapped_column(sa.String(36), **kw)


def _document() -> types.JsonEncodedDict:
    return types.JsonEncodedDict(mysql_as_long=True)


def _name() -> sa.String:
    # MySQL and MariaDB compare without regard to case unless they are told
    exact = mysql.VARCHAR(64, collation="utf8mb4_bin")
    return sa.String(64).with_variant(exact, "mysql", "mariadb")


def _metadata() -> sa.String:
    # as long, and as exact, as Nova has keys and values
    exact = mysql.VARCHAR(255, collation="utf8mb4_bin")
    return sa.String(255).with_variant(exact, "mysql", "mariadb")


class Host(Base):
    """A compute host; ``generation`` rises with its topology, its placements and claims.

    Every transaction that changes a claim or a placement on a host first locks this row.
    """

    __tablename__ = "hosts"

    name: orm.Mapped[str] = orm.mapped_column(sa.String(255), primary_key=True)
    topology: orm.Mapped[HostTopology] = orm.mapped_column(Topology(HostTopology), nullable=False)
    generation: orm.Mapped[int] = orm.mapped_column(sa.Integer, nullable=False, default=1)
    report_sequence: orm.Mapped[int] = orm.mapped_column(sa.BigInteger, nullable=False)
    report_interval: orm.Mapped[int] = orm.mapped_column(sa.Integer, nullable=False)
    reported_at: orm.Mapped[datetime.datetime] = orm.mapped_column(sa.DateTime, nullable=False)
    # parts of `Usage.to_dict`, large and of no use to those who decide: the host itself as
    # {"at", "cpus", "conflicts"}, and the instances on it as {"at", "instances"}
    usage: orm.Mapped[dict[str, Any] | None] = orm.mapped_column(_document(), deferred=True)
    instance_usage: orm.Mapped[dict[str, Any] | None] = orm.mapped_column(
        _document(), deferred=True
    )


class Instance(Base):
    """An instance as the host that runs it last reported it.

    ``started_ms`` is that of the last process, also when it has ended.
    """

    __tablename__ = "instances"
    __table_args__ = (sa.Index("instances_host_idx", "host"), Base.__table_args__)

    uuid: orm.Mapped[str] = _uuid(primary_key=True)
    host: orm.Mapped[str] = orm.mapped_column(sa.String(255), nullable=False)
    name: orm.Mapped[str] = orm.mapped_column(sa.String(255), nullable=False)
    project_id: orm.Mapped[str | None] = orm.mapped_column(sa.String(255))
    user_id: orm.Mapped[str | None] = orm.mapped_column(sa.String(255))
    vcpus: orm.Mapped[int] = orm.mapped_column(sa.Integer, nullable=False)
    memory_mib: orm.Mapped[int] = orm.mapped_column(sa.Integer, nullable=False)
    iothreads: orm.Mapped[list[int]] = orm.mapped_column(types.JsonEncodedList(), nullable=False)
    state: orm.Mapped[str] = orm.mapped_column(sa.String(16), nullable=False)
    holds: orm.Mapped[str] = orm.mapped_column(sa.Text, nullable=False, default="")
    observed: orm.Mapped[Placement | None] = orm.mapped_column(Topology(Placement))
    updated_at: orm.Mapped[datetime.datetime] = orm.mapped_column(sa.DateTime, nullable=False)
    started_ms: orm.Mapped[int | None] = orm.mapped_column(sa.BigInteger)


class Pin(Base):
    """A pin; ``deleted`` ones still hold their claims until the host has released them.

    ``origin`` is `METADATA`, `HINT` or, if somebody asked for the present wish, None. ``placed``
    tells whether the pin ever had a placement, ``arrival`` how often a host came to have its
    instance. ``progress`` tells how far its host is with moving memory, ``cancelled`` whether
    somebody stopped that for the present generation.

    ``asked`` has the fields of the wish that somebody gave. With ``template_id`` they take the
    place of those of the template, of ``template_role`` if that has roles, at
    ``template_version``; ``wish`` is what comes of it, by `kongming.conductor.wishes`.

    ``overlay`` is what a calendar has laid over that, ``turned_at`` (UTC) the instant as of which
    calendars last changed it, ``had`` the `kongming.conductor.claims.Former` from before, if any.
    """

    __tablename__ = "pins"
    __table_args__ = (
        sa.Index("pins_host_idx", "host"),
        sa.Index("pins_project_id_idx", "project_id"),
        sa.Index("pins_template_id_idx", "template_id"),
        Base.__table_args__,
    )

    instance_uuid: orm.Mapped[str] = _uuid(primary_key=True)
    project_id: orm.Mapped[str | None] = orm.mapped_column(sa.String(255))
    user_id: orm.Mapped[str | None] = orm.mapped_column(sa.String(255))
    host: orm.Mapped[str | None] = orm.mapped_column(sa.String(255))
    wish: orm.Mapped[Wish] = orm.mapped_column(Topology(Wish), nullable=False)
    placement: orm.Mapped[Placement | None] = orm.mapped_column(Topology(Placement))
    holding: orm.Mapped[Holding | None] = orm.mapped_column(Topology(Holding))
    in_force: orm.Mapped[Placement | None] = orm.mapped_column(Topology(Placement))
    generation: orm.Mapped[int] = orm.mapped_column(sa.Integer, nullable=False)
    status: orm.Mapped[str] = orm.mapped_column(sa.String(16), nullable=False)
    reason: orm.Mapped[str | None] = orm.mapped_column(sa.Text)
    deleted: orm.Mapped[bool] = orm.mapped_column(sa.Boolean, nullable=False, default=False)
    created_at: orm.Mapped[datetime.datetime] = orm.mapped_column(
        sa.DateTime, nullable=False, default=timeutils.utcnow
    )
    updated_at: orm.Mapped[datetime.datetime | None] = orm.mapped_column(sa.DateTime)
    origin: orm.Mapped[str | None] = orm.mapped_column(sa.String(16))
    placed: orm.Mapped[bool | None] = orm.mapped_column(sa.Boolean)
    arrival: orm.Mapped[int] = orm.mapped_column(
        sa.Integer, nullable=False, default=0, server_default="0"
    )
    progress: orm.Mapped[Progress | None] = orm.mapped_column(Topology(Progress))
    cancelled: orm.Mapped[bool | None] = orm.mapped_column(sa.Boolean)
    asked: orm.Mapped[dict[str, Any]] = orm.mapped_column(_document(), nullable=False)
    template_id: orm.Mapped[str | None] = _uuid()
    template_role: orm.Mapped[str | None] = orm.mapped_column(_name())
    template_version: orm.Mapped[int | None] = orm.mapped_column(sa.Integer)
    overlay: orm.Mapped[Overlay | None] = orm.mapped_column(Topology(Overlay))
    turned_at: orm.Mapped[datetime.datetime | None] = orm.mapped_column(sa.DateTime)
    had: orm.Mapped[dict[str, Any] | None] = orm.mapped_column(_document())


class Claim(Base):
    """One pCPU that a dedicated pin holds for itself."""

    __tablename__ = "claims"
    __table_args__ = (sa.Index("claims_instance_uuid_idx", "instance_uuid"), Base.__table_args__)

    host: orm.Mapped[str] = orm.mapped_column(sa.String(255), primary_key=True)
    pcpu: orm.Mapped[int] = orm.mapped_column(sa.Integer, primary_key=True, autoincrement=False)
    instance_uuid: orm.Mapped[str] = _uuid(nullable=False)


class Reservation(Base):
    """What is held for an instance on a host where a scheduler means to put it.

    Its pCPUs are in `Claim` like those of a pin; all of it ends at ``expires_at`` (UTC), or
    when the instance is seen on some host. ``vcpus`` and ``memory_mib`` are the size for
    which the placement was made.
    """

    __tablename__ = "reservations"
    __table_args__ = (
        sa.Index("reservations_host_idx", "host"),
        sa.Index("reservations_expires_at_idx", "expires_at"),
        Base.__table_args__,
    )

    instance_uuid: orm.Mapped[str] = _uuid(primary_key=True)
    host: orm.Mapped[str] = orm.mapped_column(sa.String(255), nullable=False)
    vcpus: orm.Mapped[int] = orm.mapped_column(sa.Integer, nullable=False)
    memory_mib: orm.Mapped[int] = orm.mapped_column(sa.Integer, nullable=False)
    placement: orm.Mapped[Placement] = orm.mapped_column(Topology(Placement), nullable=False)
    holding: orm.Mapped[Holding] = orm.mapped_column(Topology(Holding), nullable=False)
    expires_at: orm.Mapped[datetime.datetime] = orm.mapped_column(sa.DateTime, nullable=False)


class Template(Base):
    """A named wish that pins follow; its content is that of its versions.

    ``version`` is the newest, ``current`` the one that those take which begin to follow. They
    differ while a rollout has not come to its end, and after one that went back.
    """

    __tablename__ = "templates"
    __table_args__ = (
        sa.UniqueConstraint("project_id", "name", name="templates_project_id_name_key"),
        Base.__table_args__,
    )

    id: orm.Mapped[str] = _uuid(primary_key=True)
    name: orm.Mapped[str] = orm.mapped_column(_name(), nullable=False)
    project_id: orm.Mapped[str] = orm.mapped_column(sa.String(255), nullable=False)
    user_id: orm.Mapped[str | None] = orm.mapped_column(sa.String(255))
    shared: orm.Mapped[bool] = orm.mapped_column(sa.Boolean, nullable=False)
    version: orm.Mapped[int] = orm.mapped_column(sa.Integer, nullable=False)
    current: orm.Mapped[int] = orm.mapped_column(sa.Integer, nullable=False)
    created_at: orm.Mapped[datetime.datetime] = orm.mapped_column(
        sa.DateTime, nullable=False, default=timeutils.utcnow
    )
    updated_at: orm.Mapped[datetime.datetime | None] = orm.mapped_column(sa.DateTime)


class TemplateVersion(Base):
    """What a template said from some change on, see `kongming.topology.template`; never changes."""

    __tablename__ = "template_versions"

    template_id: orm.Mapped[str] = _uuid(primary_key=True)
    version: orm.Mapped[int] = orm.mapped_column(sa.Integer, primary_key=True, autoincrement=False)
    content: orm.Mapped[dict[str, Any]] = orm.mapped_column(_document(), nullable=False)
    user_id: orm.Mapped[str | None] = orm.mapped_column(sa.String(255))
    created_at: orm.Mapped[datetime.datetime] = orm.mapped_column(
        sa.DateTime, nullable=False, default=timeutils.utcnow
    )


class Rollout(Base):
    """A version of a template on its way to those who follow it, ``batch_size`` at a time.

    ``number`` counts the rollouts of a template, which run one after the other. ``former`` is the
    version that the followers had when it began, ``touched`` those that were given ``version``, in
    that order, as ``{"uuid", "had"}`` with the `kongming.conductor.claims.Former` of each;
    ``total`` and ``done`` are as of the last step. ``touched`` is large and of no use to lists.
    """

    __tablename__ = "rollouts"
    __table_args__ = (
        sa.UniqueConstraint("template_id", "number", name="rollouts_template_id_number_key"),
        sa.Index("rollouts_state_idx", "state"),
        Base.__table_args__,
    )

    id: orm.Mapped[str] = _uuid(primary_key=True)
    template_id: orm.Mapped[str] = _uuid(nullable=False)
    template_name: orm.Mapped[str] = orm.mapped_column(_name(), nullable=False)
    number: orm.Mapped[int] = orm.mapped_column(sa.Integer, nullable=False)
    project_id: orm.Mapped[str] = orm.mapped_column(sa.String(255), nullable=False)
    user_id: orm.Mapped[str | None] = orm.mapped_column(sa.String(255))
    request_id: orm.Mapped[str | None] = orm.mapped_column(sa.String(64))
    version: orm.Mapped[int] = orm.mapped_column(sa.Integer, nullable=False)
    former: orm.Mapped[int | None] = orm.mapped_column(sa.Integer)
    batch_size: orm.Mapped[int] = orm.mapped_column(sa.Integer, nullable=False)
    state: orm.Mapped[str] = orm.mapped_column(sa.String(16), nullable=False)
    reason: orm.Mapped[str | None] = orm.mapped_column(sa.Text)
    failed_pin: orm.Mapped[str | None] = _uuid()
    total: orm.Mapped[int] = orm.mapped_column(sa.Integer, nullable=False)
    done: orm.Mapped[int] = orm.mapped_column(sa.Integer, nullable=False)
    touched: orm.Mapped[list[dict[str, Any]]] = orm.mapped_column(
        types.JsonEncodedList(mysql_as_long=True), nullable=False, deferred=True
    )
    created_at: orm.Mapped[datetime.datetime] = orm.mapped_column(
        sa.DateTime, nullable=False, default=timeutils.utcnow
    )
    updated_at: orm.Mapped[datetime.datetime | None] = orm.mapped_column(sa.DateTime)


class Calendar(Base):
    """When what is laid over the wishes of which pins.

    Its windows are told by ``cron``, ``timezone`` and ``duration_s`` or, if there is but one, by
    ``starts_at`` and ``ends_at`` (UTC). ``overlay`` has the fields that are laid over wishes;
    ``template_id``, ``template_role``, ``template_version`` and ``only_qos`` tell where they come
    from, if they come from a template. Its pins are those of the instances in ``pins``, those that
    follow the template ``following``, or those of servers that have the metadata; all of them of
    its project, unless it is for ``all_projects``.
    """

    __tablename__ = "calendars"
    __table_args__ = (sa.Index("calendars_project_id_idx", "project_id"), Base.__table_args__)

    id: orm.Mapped[str] = _uuid(primary_key=True)
    name: orm.Mapped[str] = orm.mapped_column(sa.String(255), nullable=False)
    project_id: orm.Mapped[str] = orm.mapped_column(sa.String(255), nullable=False)
    user_id: orm.Mapped[str | None] = orm.mapped_column(sa.String(255))
    all_projects: orm.Mapped[bool] = orm.mapped_column(sa.Boolean, nullable=False)
    cron: orm.Mapped[str | None] = orm.mapped_column(sa.String(255))
    timezone: orm.Mapped[str | None] = orm.mapped_column(sa.String(64))
    duration_s: orm.Mapped[int | None] = orm.mapped_column(sa.Integer)
    starts_at: orm.Mapped[datetime.datetime | None] = orm.mapped_column(sa.DateTime)
    ends_at: orm.Mapped[datetime.datetime | None] = orm.mapped_column(sa.DateTime)
    overlay: orm.Mapped[dict[str, Any]] = orm.mapped_column(_document(), nullable=False)
    template_id: orm.Mapped[str | None] = _uuid()
    template_role: orm.Mapped[str | None] = orm.mapped_column(_name())
    template_version: orm.Mapped[int | None] = orm.mapped_column(sa.Integer)
    only_qos: orm.Mapped[bool] = orm.mapped_column(sa.Boolean, nullable=False)
    pins: orm.Mapped[list[str]] = orm.mapped_column(
        types.JsonEncodedList(mysql_as_long=True), nullable=False
    )
    following: orm.Mapped[str | None] = _uuid()
    metadata_key: orm.Mapped[str | None] = orm.mapped_column(_metadata())
    metadata_value: orm.Mapped[str | None] = orm.mapped_column(_metadata())
    priority: orm.Mapped[int] = orm.mapped_column(sa.Integer, nullable=False)
    on_collision: orm.Mapped[str] = orm.mapped_column(sa.String(16), nullable=False)
    enabled: orm.Mapped[bool] = orm.mapped_column(sa.Boolean, nullable=False)
    generation: orm.Mapped[int] = orm.mapped_column(sa.Integer, nullable=False)
    created_at: orm.Mapped[datetime.datetime] = orm.mapped_column(
        sa.DateTime, nullable=False, default=timeutils.utcnow
    )
    updated_at: orm.Mapped[datetime.datetime | None] = orm.mapped_column(sa.DateTime)


class ServerMetadata(Base):
    """One entry of the metadata of a server, as Nova last told it."""

    __tablename__ = "server_metadata"
    __table_args__ = (sa.Index("server_metadata_entry_idx", "key", "value"), Base.__table_args__)

    instance_uuid: orm.Mapped[str] = _uuid(primary_key=True)
    key: orm.Mapped[str] = orm.mapped_column(_metadata(), primary_key=True)
    value: orm.Mapped[str] = orm.mapped_column(_metadata(), nullable=False)


class PinEvent(Base):
    """One line of a pin's history; outlives the pin.

    ``asked_by`` tells on whose behalf the wish is what it is, see `kongming.objects.PinEvent`.
    """

    __tablename__ = "pin_events"
    __table_args__ = (
        sa.Index("pin_events_instance_uuid_idx", "instance_uuid"),
        Base.__table_args__,
    )

    id: orm.Mapped[int] = orm.mapped_column(sa.Integer, primary_key=True)
    instance_uuid: orm.Mapped[str] = _uuid(nullable=False)
    project_id: orm.Mapped[str | None] = orm.mapped_column(sa.String(255))
    at: orm.Mapped[datetime.datetime] = orm.mapped_column(
        sa.DateTime, nullable=False, default=timeutils.utcnow
    )
    event: orm.Mapped[str] = orm.mapped_column(sa.String(16), nullable=False)
    generation: orm.Mapped[int] = orm.mapped_column(sa.Integer, nullable=False)
    host: orm.Mapped[str | None] = orm.mapped_column(sa.String(255))
    reason: orm.Mapped[str | None] = orm.mapped_column(sa.Text)
    user_id: orm.Mapped[str | None] = orm.mapped_column(sa.String(255))
    request_id: orm.Mapped[str | None] = orm.mapped_column(sa.String(64))
    wish: orm.Mapped[Wish | None] = orm.mapped_column(Topology(Wish))
    cause: orm.Mapped[str | None] = orm.mapped_column(sa.String(32))
    receipt: orm.Mapped[Receipt | None] = orm.mapped_column(Topology(Receipt))
    asked_by: orm.Mapped[dict[str, Any] | None] = orm.mapped_column(_document())


class Project(Base):
    """A project that has a limit; locked while something is claimed for it, and else of no use."""

    __tablename__ = "projects"

    project_id: orm.Mapped[str] = orm.mapped_column(sa.String(255), primary_key=True)


class Quota(Base):
    """How much of a resource a project may have (-1: as much as there is), if not by default."""

    __tablename__ = "quotas"

    project_id: orm.Mapped[str] = orm.mapped_column(sa.String(255), primary_key=True)
    resource: orm.Mapped[str] = orm.mapped_column(sa.String(32), primary_key=True)
    limit: orm.Mapped[int] = orm.mapped_column(sa.Integer, nullable=False)
