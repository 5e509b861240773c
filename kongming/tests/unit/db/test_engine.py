# SPDX-License-Identifier: Apache-2.0
"""Transactions."""

import threading

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
        # SQLite would let both read, then refuse both, or one of them, to write
        together = threading.Barrier(4)
        failures: list[Exception] = []

        def add(pcpu: int) -> None:
            together.wait()
            try:
                with engine.writer() as session:
                    highest = session.scalar(sa.select(sa.func.max(models.Claim.pcpu))) or 0
                    session.add(models.Claim(host="one", pcpu=highest + 1, instance_uuid="x"))
            except Exception as error:
                failures.append(error)

        threads = [threading.Thread(target=add, args=(number,)) for number in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        self.assertEqual([], failures)
        self.assertEqual(4, self.count())

    def test_dispose_follows_the_configuration(self) -> None:
        with engine.writer() as session:
            session.add(models.Claim(host="one", pcpu=1, instance_uuid="x"))
        self.useFixture(base.Database())
        self.assertEqual(0, self.count())
