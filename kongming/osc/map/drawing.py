# SPDX-License-Identifier: Apache-2.0
"""How a map looks: NUMA nodes as boxes, cores as groups of cells, memory as bars.

Letters tell as much as colours do, so that a terminal without any shows the same map.
"""

import dataclasses
from collections.abc import Iterator, Sequence

from rich import box, console, panel, table
from rich.text import Text

#: Numbers of the 256 colours, which are the same in each terminal: none is the red of alarms.
_DARK, _BRIGHT = (25, 130, 28, 55, 89, 240), (117, 221, 120, 213, 208, 218, 186, 159)
_PALETTE = (
    *(f"color(16) on color({number})" for number in _BRIGHT),
    *(f"color(231) on color({number})" for number in _DARK),
)
#: Those without a background are read on black and on white: yellow, for one, is not.
FREE, WRONG, ALARM = "dim", "bold red", "bold white on red"
_SEPARATOR = " | "
#: No box for a NUMA node is narrower than that, if two stand beside each other.
_NODE_WIDTH = 56


@dataclasses.dataclass(frozen=True)
class Cell:
    """One pCPU: who is there (``label``), and what is to be said of that (``flag``)."""

    pcpu: int
    label: str
    flag: str = " "
    style: str = FREE


@dataclasses.dataclass(frozen=True)
class Bar:
    """The memory pages of one size on a NUMA node; ``used`` lists label, style and MiB."""

    title: str
    total_mib: int
    free_mib: int
    used: Sequence[tuple[str, str, int]]


@dataclasses.dataclass(frozen=True)
class Node:
    """A NUMA node: its cores with their sibling pCPUs, and its memory."""

    title: str
    cores: Sequence[Sequence[Cell]]
    bars: Sequence[Bar]


@dataclasses.dataclass(frozen=True)
class _Sizes:
    """The same for all boxes: characters of a number and of a label, and pCPUs of a core."""

    digits: int
    label: int
    siblings: int


class Nodes:
    """NUMA nodes as boxes, one or two beside each other as the terminal is wide."""

    def __init__(self, nodes: Sequence[Node]) -> None:
        self._nodes = nodes
        cells = [cell for node in nodes for core in node.cores for cell in core]
        self._sizes = _Sizes(
            digits=max((len(str(cell.pcpu)) for cell in cells), default=1),
            label=max((len(cell.label) for cell in cells), default=1),
            siblings=max((len(core) for node in nodes for core in node.cores), default=1),
        )

    def __rich_console__(
        self, screen: console.Console, options: console.ConsoleOptions
    ) -> console.RenderResult:
        """Yield what rich prints."""
        beside = 2 if options.max_width >= 2 * _NODE_WIDTH and len(self._nodes) > 1 else 1
        grid = table.Table.grid(expand=True)
        for _ in range(beside):
            grid.add_column(ratio=1)
        for first in range(0, len(self._nodes), beside):
            row = self._nodes[first : first + beside]
            grid.add_row(*(_Box(node, self._sizes) for node in row))
        yield grid


class _Box:
    def __init__(self, node: Node, sizes: _Sizes) -> None:
        self._node = node
        self._sizes = sizes

    def __rich_console__(
        self, screen: console.Console, options: console.ConsoleOptions
    ) -> console.RenderResult:
        width = options.max_width - 4
        lines = [*_cores(self._node.cores, self._sizes, width), *_bars(self._node.bars, width)]
        yield panel.Panel(
            Text("\n").join(lines), title=self._node.title, title_align="left", box=box.SQUARE
        )


def color(number: int) -> str:
    """Return the style of an instance; after some they repeat, but letters do not."""
    return _PALETTE[number % len(_PALETTE)]


def _cores(cores: Sequence[Sequence[Cell]], sizes: _Sizes, width: int) -> Iterator[Text]:
    """Yield the lines with the cores, as many in each as there is room for."""
    core_width = sizes.siblings * (sizes.digits + sizes.label + 2) - 1
    each = max(1, (width + len(_SEPARATOR)) // (core_width + len(_SEPARATOR)))
    for first in range(0, len(cores), each):
        line = Text()
        for core in cores[first : first + each]:
            if line:
                line.append(_SEPARATOR, style=FREE)
            line.append_text(_core(core, sizes))
        line.truncate(width)
        yield line


def _core(core: Sequence[Cell], sizes: _Sizes) -> Text:
    text = Text()
    for number in range(sizes.siblings):
        if number:
            text.append(" ")
        if number < len(core):
            cell = core[number]
            text.append(f"{cell.pcpu:>{sizes.digits}}")
            text.append(f"{cell.label:>{sizes.label}}{cell.flag}", style=cell.style)
        else:
            text.append(" " * (sizes.digits + sizes.label + 1))
    return text


def _bars(bars: Sequence[Bar], width: int) -> Iterator[Text]:
    for bar in bars:
        words = f" {_gib(bar.free_mib)} of {_gib(bar.total_mib)} GiB free"
        room = max(4, width - 7 - len(words))
        line = Text(f"{bar.title:<6} ")
        for label, style, length in _segments(bar, room):
            line.append((label * length)[:length], style=style)
        line.append(words)
        line.truncate(width)
        yield line


def _segments(bar: Bar, room: int) -> list[tuple[str, str, int]]:
    """Return label, style and length of each piece of a bar; who has something is seen."""
    drawn, mib, start = [], 0, 0
    taken = sum(amount for _, _, amount in bar.used)
    others = bar.total_mib - bar.free_mib - taken
    for label, style, amount in (*bar.used, ("#", FREE, others)):
        if amount <= 0:
            continue
        mib += amount
        end = min(room, max(start + 1, round(room * mib / bar.total_mib)))
        drawn.append((label, style, end - start))
        start = end
    drawn.append((".", FREE, room - start))
    return drawn


def _gib(mib: int) -> str:
    return f"{mib / 1024:.1f}".removesuffix(".0")
