# SPDX-License-Identifier: Apache-2.0
"""Guest nodes on distinct NUMA nodes: whether it can be done, and how at the least cost.

Guest nodes are the rows of a table and NUMA nodes its columns, both numbered from 0; an entry
that is None is impossible.
"""

from collections.abc import Sequence
from typing import Any

from kongming.topology import cpuset

Costs = Sequence[Sequence[int | None]]


class Matching:
    """A growing matching of columns to rows: a column may move others, never drop one.

    It serves rows that look for columns as well, everything the other way around.
    """

    def __init__(self, rows_of: Sequence[int]) -> None:
        """Begin empty; ``rows_of`` is for each column the bitmask of rows that it can have."""
        self._rows_of = rows_of
        self.column_of: dict[int, int] = {}

    def copy(self) -> "Matching":
        """Return a matching that grows on its own."""
        other = Matching(self._rows_of)
        other.column_of = dict(self.column_of)
        return other

    def add(self, column: int) -> bool:
        """Match one more column by an augmenting path; return whether that is possible."""
        return self._add(column, set())

    def _add(self, column: int, seen: set[int]) -> bool:
        for row in cpuset.members(self._rows_of[column]):
            if row in seen:
                continue
            seen.add(row)
            held_by = self.column_of.get(row)
            if held_by is None or self._add(held_by, seen):
                self.column_of[row] = column
                return True
        return False


def crowded(columns_of: Sequence[int]) -> tuple[int, int]:
    """Return rows that together have fewer columns than they are, and these columns.

    :param columns_of: bitmask of the possible columns of each row
    :returns: two bitmasks, both 0 if each row can have a column of its own (Hall's theorem)
    """
    if columns_of.count(columns_of[0]) == len(columns_of):
        if columns_of[0].bit_count() >= len(columns_of):
            return 0, 0
        return (1 << len(columns_of)) - 1, columns_of[0]
    matching = Matching(columns_of)
    for row in range(len(columns_of)):
        if not matching.add(row):
            rows, columns, reached = 1 << row, 0, -1
            while columns != reached:
                reached = columns
                for one in cpuset.members(rows):
                    columns |= columns_of[one]
                for column in cpuset.members(columns):
                    rows |= 1 << matching.column_of[column]
            return rows, columns
    return 0, 0


def cheapest(costs: Costs) -> tuple[list[int], int]:
    """Describe all assignments of every row to its own column at the least sum of costs.

    They are exactly the perfect matchings of the rows along the entries returned that use
    all the columns returned (complementary slackness). The Hungarian method with shortest
    augmenting paths finds them in O(rows² · columns). The caller has made sure (`crowded`)
    that some assignment is possible.

    :returns: for each column the bitmask of rows; bitmask of the columns that all use
    """
    if costs.count(costs[0]) == len(costs):
        return _cheapest_alike(costs[0], len(costs))
    width = len(costs[0])
    never = 1 + 2 * sum(max(abs(cost) for cost in row if cost is not None) for row in costs)
    table = [[never if cost is None else cost for cost in row] for row in costs]
    row_price = [0] * len(costs)
    column_price = [0] * (width + 1)
    row_at: list[int | None] = [None] * (width + 1)
    for start in range(len(costs)):
        # column ``width`` is a stand-in where the row that has no column yet begins
        row_at[width] = start
        here = width
        slack = [never * 4] * width
        came_from = [width] * width
        done = [False] * (width + 1)
        while (row := row_at[here]) is not None:
            done[here] = True
            least, there = never * 8, width
            for column in range(width):
                if done[column]:
                    continue
                reduced = table[row][column] - row_price[row] - column_price[column]
                if reduced < slack[column]:
                    slack[column], came_from[column] = reduced, here
                if slack[column] < least:
                    least, there = slack[column], column
            for column in range(width + 1):
                if done[column]:
                    owner = row_at[column]
                    assert owner is not None  # nosec B101 # for mypy
                    row_price[owner] += least
                    column_price[column] -= least
                elif column < width:
                    slack[column] -= least
            here = there
        while here != width:
            row_at[here] = row_at[came_from[here]]
            here = came_from[here]
    rows_of = [
        cpuset.from_members(
            row
            for row, line in enumerate(costs)
            if line[column] is not None
            and table[row][column] == row_price[row] + column_price[column]
        )
        for column in range(width)
    ]
    needed = cpuset.from_members(column for column in range(width) if column_price[column] < 0)
    return rows_of, needed


def _cheapest_alike(costs: Sequence[int | None], rows: int) -> tuple[list[int], int]:
    """Answer `cheapest` where all rows have the same costs: the cheapest columns are taken."""
    limit = sorted(cost for cost in costs if cost is not None)[rows - 1]
    every = (1 << rows) - 1
    needed = 0
    rows_of = []
    for column, cost in enumerate(costs):
        rows_of.append(every if cost is not None and cost <= limit else 0)
        if cost is not None and cost < limit:
            needed |= 1 << column
    return rows_of, needed


#: How many partial sets of columns `nearest` looks at before it settles for the best found:
#: enough to look at every set of 12 columns, so that it is exact up to there.
MAX_STEPS = 4096


def nearest(
    rows_of: Sequence[int], needed: int, rows: int, distances: Sequence[Sequence[int]]
) -> dict[int, int]:
    """Return the matching of all rows whose columns have the least sum of pairwise distances.

    Which columns are near each other is a quadratic question, NP-hard in general. This is
    branch and bound over sets of columns that can be matched, nearest first. The result is
    the optimum for up to 12 columns that come into question, and beyond that whenever the
    bounds close the search within ``MAX_STEPS`` steps, as where all distances are equal;
    else it is the best of those looked at. Each step costs O(rows · columns) at most thrice.

    :param rows_of: the entries that may be used, and
    :param needed: the columns that must be, both as `cheapest` returns them
    :returns: column by row
    """
    useful = cpuset.from_members(column for column, mask in enumerate(rows_of) if mask)
    if useful.bit_count() == rows:
        return _ordered(rows_of, useful, rows)
    matching = Matching(rows_of)
    for column in cpuset.members(needed):
        matching.add(column)
    others = [column for column, mask in enumerate(rows_of) if mask and not needed >> column & 1]
    columns = list(cpuset.members(useful))
    if len({distances[a][b] for a in columns for b in columns if a < b}) == 1:
        # no choice is nearer than another, and what is matched never hinders a full matching
        for column in others:
            if len(matching.column_of) < rows:
                matching.add(column)
        return _ordered(rows_of, cpuset.from_members(matching.column_of.values()), rows)
    chosen = list(cpuset.members(needed))
    far = [sum(distances[column][one] for one in chosen) for column in range(len(rows_of))]
    total = sum(far[column] for column in chosen) - sum(distances[one][one] for one in chosen)
    best: tuple[float, dict[int, int]] = (float("inf"), {})
    floor = min((distances[a][b] for a in others for b in others if a != b), default=0)
    steps = 0

    def search(matching: Matching, total: int, far: Sequence[int], others: list[int]) -> None:
        nonlocal best, steps
        missing = rows - len(matching.column_of)
        if not missing:
            if total < best[0]:
                best = (total, matching.column_of)
            return
        others = sorted(others, key=lambda column: far[column])
        for number, column in enumerate(others):
            rest = others[number:]
            if len(rest) < missing:
                return
            bound = sum(far[one] for one in rest[:missing]) + floor * missing * (missing - 1) // 2
            if total + bound >= best[0] or (steps >= MAX_STEPS and best[1]):
                return
            steps += 1
            grown = matching.copy()
            if grown.add(column):
                nearer = [old + new for old, new in zip(far, distances[column], strict=True)]
                search(grown, total + far[column], nearer, rest[1:])

    search(matching, total // 2, far, others)
    return _ordered(rows_of, cpuset.from_members(best[1].values()), rows)


def _ordered(rows_of: Sequence[int], columns: int, rows: int) -> dict[int, int]:
    """Match all rows with the columns chosen, the first rows with the lowest numbers."""
    columns_of = [0] * rows
    for column in cpuset.members(columns):
        for row in cpuset.members(rows_of[column]):
            columns_of[row] |= 1 << column
    if columns_of.count(columns) == rows:
        return dict(enumerate(cpuset.members(columns)))
    matching = Matching(columns_of)
    # who comes later takes the lowest and moves the others up
    for row in reversed(range(rows)):
        matching.add(row)
    return {row: column for column, row in matching.column_of.items()}


def pairs(columns: Sequence[int], distances: Sequence[Sequence[int]]) -> int:
    """Return the sum of the distances between each two of some columns."""
    return sum(distances[a][b] for number, a in enumerate(columns) for b in columns[number + 1 :])


def options(table: Sequence[Sequence[Any]]) -> list[int]:
    """Return for each row the bitmask of the columns that are possible (not None)."""
    found = []
    for row in table:
        mask = 0
        for column, entry in enumerate(row):
            if entry is not None:
                mask |= 1 << column
        found.append(mask)
    return found
