# SPDX-License-Identifier: Apache-2.0
"""Lists page by page."""

import datetime
import itertools

from kongming.db import engine, models, paging
from kongming.db.paging import Page
from kongming.tests import base

THEN = datetime.datetime(2026, 1, 1)
#: uuid, host, name, state: full of ties.
ROWS = [
    (f"{number:036d}", host, name, state)
    for number, (host, name, state) in enumerate(
        itertools.product(("b", "a"), ("y", "x"), ("running", "paused"))
    )
]


class PagingTestCase(base.TestCase):
    def setUp(self) -> None:
        super().setUp()
        self.useFixture(base.Database())
        with engine.writer() as session:
            for uuid, host, name, state in ROWS:
                session.add(
                    models.Instance(
                        uuid=uuid,
                        host=host,
                        name=name,
                        state=state,
                        project_id=f"of {host}",
                        vcpus=1,
                        memory_mib=1,
                        iothreads=[],
                        updated_at=THEN,
                    )
                )

    def fetch(self, page: Page, project: str | None = None) -> tuple[list[str], bool]:
        where = None if project is None else models.Instance.project_id == project
        with engine.reader() as session:
            rows, more = paging.fetch(session, models.Instance.uuid, page, where)
            return [row.uuid for row in rows], more

    def walk(self, limit: int, **page: object) -> list[str]:
        """Return the keys of a whole list, fetched page by page."""
        found: list[str] = []
        more = True
        while more:
            marker = found[-1] if found else None
            keys, more = self.fetch(Page(limit=limit, marker=marker, **page))  # type: ignore
            self.assertEqual(len(keys), limit if more else len(keys))
            self.assertGreater(len(keys), 0)
            found += keys
        return found


class FetchTest(PagingTestCase):
    def test_every_sort_in_pages_of_every_size(self) -> None:
        columns = {"uuid": 0, "host": 1, "name": 2, "state": 3}
        for sort in (
            [],
            [("uuid", "asc")],
            [("uuid", "desc")],
            [("host", "asc")],
            [("host", "desc")],
            [("state", "asc"), ("name", "desc")],
            [("host", "desc"), ("state", "asc"), ("name", "asc")],
            [("name", "asc"), ("uuid", "desc")],
        ):
            expected = ROWS
            for name, direction in reversed(
                [*sort, ("uuid", "asc")] if sort else [("uuid", "asc")]
            ):
                if (name, direction) == ("uuid", "asc") and "uuid" in dict(sort):
                    continue
                expected = sorted(
                    expected,
                    key=lambda row, at=columns[name]: row[at],  # type: ignore
                    reverse=direction == "desc",
                )
            for limit in (1, 3, 4, 8, 100):
                found = self.walk(limit, sort=sort)
                self.assertEqual([row[0] for row in expected], found, f"{sort}, {limit}")

    def test_whether_more_follow(self) -> None:
        for limit, more in ((7, True), (8, False), (9, False)):
            keys, follow = self.fetch(Page(limit=limit))
            self.assertEqual((min(limit, 8), more), (len(keys), follow))

    def test_filters(self) -> None:
        found = self.walk(1, filters={"host": "a", "state": "paused"})
        self.assertEqual([ROWS[5][0], ROWS[7][0]], found)

    def test_nothing_there(self) -> None:
        self.assertEqual(([], False), self.fetch(Page(limit=5, filters={"host": "c"})))

    def test_end_of_the_list(self) -> None:
        self.assertEqual(([], False), self.fetch(Page(limit=5, marker=ROWS[-1][0])))

    def test_what_may_not_be_seen(self) -> None:
        keys, more = self.fetch(Page(limit=4), project="of a")
        self.assertEqual(([row[0] for row in ROWS[4:]], False), (keys, more))

    def test_marker_that_is_not_there(self) -> None:
        self.assertRaises(paging.MarkerNotFound, self.fetch, Page(limit=1, marker="nothing"))

    def test_marker_that_may_not_be_seen(self) -> None:
        page = Page(limit=1, marker=ROWS[0][0])
        self.assertRaises(paging.MarkerNotFound, self.fetch, page, project="of a")

    def test_marker_outside_of_the_filter_keeps_its_place(self) -> None:
        # as when a row changes between two pages
        page = Page(limit=9, marker=ROWS[2][0], filters={"state": "paused"})
        self.assertEqual([ROWS[n][0] for n in (3, 5, 7)], self.fetch(page)[0])


class EverythingTest(PagingTestCase):
    def test_in_the_order_of_the_key(self) -> None:
        with engine.reader() as session:
            rows = paging.everything(session, models.Instance.name)
            self.assertEqual(["x"] * 4 + ["y"] * 4, [row.name for row in rows])

    def test_what_may_not_be_seen(self) -> None:
        with engine.reader() as session:
            where = models.Instance.host == "a"
            rows = paging.everything(session, models.Instance.uuid, where)
            self.assertEqual([row[0] for row in ROWS[4:]], [row.uuid for row in rows])
