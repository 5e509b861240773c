# SPDX-License-Identifier: Apache-2.0
"""Many rows in a statement or two."""

import datetime
from typing import Any

import sqlalchemy as sa

from kongming.db import bulk, engine, models
from kongming.tests import base, sql
from kongming.topology.placement import EMULATOR, Placement
from kongming.topology.wish import Wish

THEN = datetime.datetime(2026, 1, 1)


def uuid(number: int) -> str:
    return f"{number:036d}"


class BulkTestCase(base.TestCase):
    def setUp(self) -> None:
        super().setUp()
        self.useFixture(base.Database())

    def statements(self) -> sql.Statements:
        return self.useFixture(sql.Statements())

    def verbs(self, statements: sql.Statements) -> list[str]:
        self.assertFalse([statement for statement in statements.all if statement.many])
        verbs = [statement.text.split()[0] for statement in statements.all]
        return [verb for verb in verbs if verb not in ("BEGIN", "SELECT")]


class ReplaceTest(BulkTestCase):
    def rows(self, *numbers: int, **values: Any) -> list[dict[str, Any]]:
        facts = {
            "host": "one",
            "name": "vnf",
            "vcpus": 1,
            "memory_mib": 1,
            "iothreads": [1, 2],
            "state": "running",
            "observed": Placement({EMULATOR: 3}),
            "updated_at": THEN,
        }
        return [{"uuid": uuid(number)} | facts | values for number in numbers]

    def replace(self, gone: list[int], rows: list[dict[str, Any]]) -> None:
        with engine.writer() as session:
            bulk.replace(session, models.Instance.uuid, map(uuid, gone), rows)

    def stored(self) -> dict[str, tuple[Any, ...]]:
        with engine.reader() as session:
            return {
                row.uuid: (row.name, row.iothreads, row.observed)
                for row in session.scalars(sa.select(models.Instance))
            }

    def test_inserts_replaces_and_deletes(self) -> None:
        self.replace([], self.rows(1, 2, 3, 4))
        self.replace([3, 9], self.rows(2, 5, name="new", iothreads=[], observed=None))
        old: Any = ("vnf", [1, 2], Placement({EMULATOR: 3}))
        new: Any = ("new", [], None)
        self.assertEqual({uuid(1): old, uuid(2): new, uuid(4): old, uuid(5): new}, self.stored())

    def test_two_statements_whatever_the_number(self) -> None:
        for count in (1, 200):
            statements = self.statements()
            self.replace([1000], self.rows(*range(count)))
            self.assertEqual(["DELETE", "INSERT"], self.verbs(statements))

    def test_nothing_to_do_is_no_statement(self) -> None:
        statements = self.statements()
        self.replace([], [])
        self.assertEqual([], self.verbs(statements))

    def test_nothing_to_insert_is_one_statement(self) -> None:
        statements = self.statements()
        self.replace([1], [])
        self.assertEqual(["DELETE"], self.verbs(statements))


class SaveTest(BulkTestCase):
    def setUp(self) -> None:
        super().setUp()
        with engine.writer() as session:
            for number in range(200):
                session.add(
                    models.Pin(
                        instance_uuid=uuid(number),
                        host="one",
                        wish=Wish(emulator=1),
                        placement=Placement({EMULATOR: 1}),
                        generation=1,
                        status="pending",
                        reason=None,
                        deleted=False,
                        created_at=THEN,
                    )
                )

    def save(self, changes: dict[int, dict[str, Any]], removed: tuple[int, ...] = ()) -> None:
        with engine.writer() as session:
            pins = {
                pin.instance_uuid: pin
                for pin in session.scalars(sa.select(models.Pin).order_by(models.Pin.instance_uuid))
            }
            for number, values in changes.items():
                for name, value in values.items():
                    setattr(pins[uuid(number)], name, value)
            bulk.save(
                session,
                models.Pin.instance_uuid,
                pins.values(),
                [uuid(number) for number in removed],
            )

    def stored(self, number: int) -> tuple[Any, ...] | None:
        with engine.reader() as session:
            pin = session.get(models.Pin, uuid(number))
            if pin is None:
                return None
            return (pin.host, pin.placement, pin.in_force, pin.status, pin.reason, pin.updated_at)

    def test_each_row_gets_its_own_changes(self) -> None:
        moved, kept = Placement({EMULATOR: 6}), Placement({EMULATOR: 1})
        self.save(
            {
                0: {"status": "applied", "updated_at": THEN},
                1: {"placement": None, "host": None, "in_force": kept},
                2: {"placement": moved, "reason": "it's \N{SNOWMAN}; DROP TABLE pins"},
            }
        )
        self.assertEqual(("one", kept, None, "applied", None, THEN), self.stored(0))
        self.assertEqual((None, None, kept, "pending", None, None), self.stored(1))
        self.assertEqual(
            ("one", moved, None, "pending", "it's \N{SNOWMAN}; DROP TABLE pins", None),
            self.stored(2),
        )
        self.assertEqual(("one", kept, None, "pending", None, None), self.stored(3))

    def test_removed_rows_are_not_written(self) -> None:
        self.save({5: {"status": "applied"}, 6: {"status": "applied"}}, removed=(5,))
        self.assertIsNone(self.stored(5))
        status = self.stored(6)
        self.assertEqual("applied", status and status[3])

    def test_two_statements_whatever_the_number(self) -> None:
        for count in (1, 199):
            statements = self.statements()
            self.save(
                {number: {"status": f"s{count}", "reason": f"{number}"} for number in range(count)},
                removed=(199,),
            )
            self.assertEqual(["DELETE", "UPDATE"], self.verbs(statements))

    def test_nothing_changed_is_no_statement(self) -> None:
        statements = self.statements()
        self.save({7: {"status": "pending"}})
        self.assertEqual([], self.verbs(statements))

    def test_session_lets_go(self) -> None:
        with engine.writer() as session:
            pin = session.get(models.Pin, uuid(1))
            assert pin is not None
            pin.status = "applied"
            bulk.save(session, models.Pin.instance_uuid, [pin])
            pin.status = "failed"
            self.assertNotIn(pin, session)
        status = self.stored(1)
        self.assertEqual("applied", status and status[3])
