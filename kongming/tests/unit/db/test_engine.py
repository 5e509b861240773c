# SPDX-License-Identifier: Apache-2.0
"""Transactions."""

import threading
import time

import sqlalchemy as sa

from kongming.db import engine, models
from kongming.tests import base


class EngineTest(base.TestCase):
    def setUp(self) -> None:
        super().setUp()
        self.database = self.useFixture(base.Database())

    def count(self) -> int:
        with engine.reader() as session:
            return session.scalar(sa.select(sa.func.count()).select_from(models.Claim)) or 0

    def test_writer_commits(self) -> None:
        with engine.writer() as session:
            session.add(models.Claim(host="one", pcpu=1, instance_uuid="x"))
        self.assertEqual(1, self.count())

    def test_writer_rolls_back(self) -> None:
        def fail() -> None:
            with engine.writer() as session:
                session.add(models.Claim(host="one", pcpu=1, instance_uuid="x"))
                session.flush()
                raise ZeroDivisionError

        self.assertRaises(ZeroDivisionError, fail)
        self.assertEqual(0, self.count())

    def test_writers_that_read_first_take_turns(self) -> None:
        # SQLite would let both read, and then refuse one of them to write
        first_has_read = threading.Event()
        failures: list[Exception] = []

        def add(patience: float) -> None:
            try:
                with engine.writer() as session:
                    highest = session.scalar(sa.select(sa.func.max(models.Claim.pcpu))) or 0
                    first_has_read.set()
                    time.sleep(patience)
                    session.add(models.Claim(host="one", pcpu=highest + 1, instance_uuid="x"))
            except Exception as error:
                failures.append(error)

        first = threading.Thread(target=add, args=(0.1,))
        first.start()
        first_has_read.wait()
        add(0)
        first.join()
        self.assertEqual([], failures)
        self.assertEqual(2, self.count())

    def test_reader_beside_a_writer(self) -> None:
        # would wait for the writer, in vain, if it took the lock of one
        with engine.writer() as session:
            session.add(models.Claim(host="one", pcpu=1, instance_uuid="x"))
            seen: list[int] = []
            reader = threading.Thread(target=lambda: seen.append(self.count()))
            reader.start()
            reader.join()
            self.assertEqual([0], seen)

    def test_dispose_follows_the_configuration(self) -> None:
        with engine.writer() as session:
            session.add(models.Claim(host="one", pcpu=1, instance_uuid="x"))
        self.useFixture(base.Database())
        self.assertEqual(0, self.count())
