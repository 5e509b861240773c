# SPDX-License-Identifier: Apache-2.0
"""The map of a host: which instance is on which pCPU and in which memory."""

from collections.abc import Iterator, Sequence

from rich import columns, console, table
from rich.text import Text

from kongming.osc import base
from kongming.osc.map import residents as people
from kongming.osc.map.drawing import ALARM, FREE, WRONG, Bar, Cell, Node, Nodes, color
from kongming.osc.map.residents import EMULATOR, Document, Resident, mask
from kongming.topology import cpuset

CONFLICT, STRAY, MISSING, SEVERAL, KEPT = "!", "~", "?", "+", "="
#: How wide a terminal must be to have room for UUIDs and memory, and for whole UUIDs.
_ROOMY, _WHOLE_UUID = 76, 110
_FLAGS = {
    CONFLICT: "held by several, each for itself",
    STRAY: "its pin wants the thread elsewhere",
    MISSING: "its pin wants a thread here",
    SEVERAL: "used by several instances",
    KEPT: "held, but kept empty",
    "e": "emulator",
    "i": "I/O thread",
}


def host_map(
    host: Document, instances: Sequence[Document], pins: Sequence[Document]
) -> console.RenderableType:
    """Return the map that rich draws.

    :param host: answer of ``GET /v1/hosts/{name}``
    :param instances: the instances on it
    :param pins: the pins on it
    """
    everybody = people.residents(instances, pins, host["name"])
    cells = _Cells(host, everybody)
    nodes = [
        Node(
            _title(node, mask(host["cpus"]["free"])),
            cells.cores(node),
            list(bars(node, everybody)),
        )
        for node in host["numa_nodes"]
    ]
    return console.Group(
        _head(host), Nodes(nodes), _Legend(everybody), *_notes(host, everybody), cells.key()
    )


def bars(node: Document, everybody: Sequence[Resident]) -> Iterator[Bar]:
    """Yield a bar for each size of pages that a NUMA node has."""
    for pages in node["pages"]:
        size = pages["size_kib"]
        if not pages["total"]:
            continue
        used = [
            (one.label, color(one.number), one.used.get(size, {}).get(node["id"], 0))
            for one in everybody
        ]
        yield Bar(
            base.kib(size),
            pages["total"] * size // 1024,
            pages["free"] * size // 1024,
            used,
        )


def floats(cpus: int, host: Document) -> bool:
    """Whether pCPUs are so many that a thread is not bound to any: a whole NUMA node's."""
    managed = mask(host["cpus"]["managed"])
    return any(
        whole.bit_count() > 1 and whole & ~cpus == 0
        for whole in (mask(node["cpus"]) & managed for node in host["numa_nodes"])
    )


class _Cells:
    """What is drawn for each pCPU."""

    def __init__(self, host: Document, everybody: Sequence[Resident]) -> None:
        self._managed = mask(host["cpus"]["managed"])
        self._held = mask(host["cpus"]["claimed"]) | mask(host["cpus"]["given"])
        self._conflicts = 0
        for conflict in host["conflicts"]:
            self._conflicts |= mask(conflict["cpus"])
        self._here: dict[int, list[tuple[Resident, str]]] = {}
        self._flags: dict[int, str] = {}
        self._seen: set[str] = set()
        for one in everybody:
            self._enter(host, one)

    def _enter(self, host: Document, one: Resident) -> None:
        """Write down where an instance is, and where it should be."""
        observed, wanted = people.threads(one.observed), people.threads(one.wanted)
        for part in observed.keys() | wanted.keys():
            is_on, belongs = observed.get(part, 0), wanted.get(part, 0)
            bound = 0 if floats(is_on, host) else is_on
            for pcpu in cpuset.members(bound | belongs & ~is_on):
                self._here.setdefault(pcpu, []).append((one, part))
            if belongs:
                for pcpu in cpuset.members(belongs & ~is_on):
                    self._flags.setdefault(pcpu, MISSING)
                for pcpu in cpuset.members(bound & ~belongs):
                    self._flags[pcpu] = STRAY

    def cores(self, node: Document) -> list[list[Cell]]:
        """Return the cells of the cores of a NUMA node."""
        return [self._core(list(cpuset.members(mask(core["cpus"])))) for core in node["cores"]]

    def _core(self, pcpus: list[int]) -> list[Cell]:
        owners = [one for pcpu in pcpus for one, _ in self._here.get(pcpu, [])]
        return [self._cell(pcpu, owners) for pcpu in pcpus]

    def _cell(self, pcpu: int, owners: Sequence[Resident]) -> Cell:
        here = self._here.get(pcpu, [])
        if not here:
            return self._empty(pcpu, owners)
        uuids = {one.uuid for one, _ in here}
        one = here[0][0]
        flag = self._flag(pcpu, [part for _, part in here], len(uuids))
        self._seen.add(flag)
        label, style = ("*", "bold") if len(uuids) > 1 else (one.label, color(one.number))
        if flag in (CONFLICT, STRAY, MISSING):
            style = ALARM
        return Cell(pcpu, label, flag, style)

    def _empty(self, pcpu: int, owners: Sequence[Resident]) -> Cell:
        if self._held >> pcpu & 1:
            if len({one.uuid for one in owners}) == 1:
                self._seen.add(KEPT)
                return Cell(pcpu, owners[0].label, KEPT, color(owners[0].number))
            self._seen.add("#")
            return Cell(pcpu, "#", style="bold")
        if self._managed >> pcpu & 1:
            self._seen.add(".")
            return Cell(pcpu, ".")
        self._seen.add("-")
        return Cell(pcpu, "-")

    def _flag(self, pcpu: int, parts: Sequence[str], instances: int) -> str:
        if self._conflicts >> pcpu & 1:
            return CONFLICT
        if pcpu in self._flags:
            return self._flags[pcpu]
        if instances > 1:
            return SEVERAL
        if any(part.startswith("vCPU") for part in parts):
            return " "
        return "e" if EMULATOR in parts else "i"

    def key(self) -> console.RenderableType:
        """Return what the signs mean that occur."""
        signs = {".": "free", "-": "not for instances", "#": "held"} | _FLAGS
        found = [
            Text(f"{sign} {words}", style=FREE)
            for sign, words in signs.items()
            if sign in self._seen
        ]
        return columns.Columns(found, padding=(0, 3), column_first=True)


def _title(node: Document, free: int) -> str:
    cpus = mask(node["cpus"])
    left = (cpus & free).bit_count()
    return f"NUMA node {node['id']}: {left} of {cpus.bit_count()} pCPUs free"


def _head(host: Document) -> Text:
    cpus = host["cpus"]
    counts = {name: base.count(cpus.get(name) or "") for name in ("claimed", "given", "free")}
    text = Text(f"{host['name']}", style="bold")
    text.append(f" {host['status']}", style="" if host["status"] == "up" else ALARM)
    text.append(
        f"  {base.count(cpus['online'])} pCPUs: {counts['free']} free,"
        f" {counts['claimed']} claimed by pins, {counts['given']} given by others"
    )
    for name in ("offline", "isolated"):
        if cpus.get(name):
            text.append(f", {name} {cpus[name]}")
    if host["status"] != "up":
        text.append(f"; last heard of {host.get('reported_at') or 'never'}")
    return text


class _Legend:
    """Who the letters stand for."""

    def __init__(self, everybody: Sequence[Resident]) -> None:
        self._everybody = everybody

    def __rich_console__(
        self, screen: console.Console, options: console.ConsoleOptions
    ) -> console.RenderResult:
        if not self._everybody:
            yield Text("No instance is here.")
            return
        width = options.max_width
        uuids = None if width >= _WHOLE_UUID else 8
        legend = table.Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style=FREE)
        titles = ["", "instance", "state", "pin", "vCPUs on", "uuid", "memory"]
        for title in titles[: len(titles) if width >= _ROOMY else -2]:
            wraps = title in ("vCPUs on", "memory")
            legend.add_column(title, overflow="fold" if wraps else "ellipsis", no_wrap=not wraps)
        for one in self._everybody:
            row = [
                Text(one.label, style=color(one.number)),
                Text(one.name),
                Text(one.state),
                Text(one.status or "-"),
                Text(cpuset.to_text(_vcpus(one)) or "-"),
                Text(one.uuid[:uuids]),
                Text(_memory(one)),
            ]
            legend.add_row(*row[: len(legend.columns)])
        yield legend


def _vcpus(one: Resident) -> int:
    cpus = 0
    for part, places in (one.observed or one.wanted).items():
        if part.startswith("vCPU"):
            cpus |= places
    return cpus


def _memory(one: Resident) -> str:
    nodes = sorted({node for by_node in one.used.values() for node in by_node})
    if not nodes:
        return "-"
    text = f"node {cpuset.to_text(cpuset.from_members(nodes))}"
    return text if one.locality is None else f"{text}, {one.locality:.0f} % local"


def _notes(host: Document, everybody: Sequence[Resident]) -> Iterator[Text]:
    """Yield a line for each conflict and each drift."""
    names = {one.uuid: f"{one.label} {one.name}" for one in everybody}
    for conflict in host["conflicts"]:
        holders = ", ".join(names.get(uuid, uuid) for uuid in conflict["instances"])
        yield Text(f"{CONFLICT} pCPU {conflict['cpus']} is held by {holders}", style=WRONG)
    for one in everybody:
        yield from drift_lines(one, f"{one.label} {one.name}: ")


def drift_lines(one: Resident, prefix: str = "") -> Iterator[Text]:
    """Yield a line for each part of an instance that is not where its pin wants it."""
    for part, is_on, belongs in one.drifts():
        what = "NUMA node" if part == people.MEMORY else "pCPU"
        yield Text(
            f"{STRAY} {prefix}{part} is on {what} {cpuset.to_text(is_on)},"
            f" and belongs on {cpuset.to_text(belongs)}",
            style=WRONG,
        )
    if one.reason and not any(one.drifts()):
        yield Text(f"{STRAY} {prefix}pin {one.status}: {one.reason}", style=WRONG)
