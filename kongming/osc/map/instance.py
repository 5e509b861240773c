# SPDX-License-Identifier: Apache-2.0
"""The map of an instance: where each of its parts is on its host, and where it belongs."""

from collections.abc import Iterator, Mapping
from typing import Any

from rich import console, table
from rich.text import Text

from kongming.osc.map import residents as people
from kongming.osc.map.drawing import ALARM, FREE, Cell, Node, Nodes, color
from kongming.osc.map.host import STRAY, bars, drift_lines, floats
from kongming.osc.map.residents import MEMORY, Document, Resident, mask
from kongming.topology import cpuset

_KEY = "v vCPU   i I/O thread   e emulator   @ its memory   # not free   . free"


def instance_map(
    instance: Document, pin: Document | None, host: Document | None
) -> console.RenderableType:
    """Return the map that rich draws.

    :param instance: answer of ``GET /v1/instances/{uuid}``
    :param pin: that of its pin, if it has one
    :param host: that of ``GET /v1/hosts/{name}``; None if the caller may not see hosts
    """
    one = people.resident(instance, pin, label="@")
    drawn: list[console.RenderableType] = [_head(instance, one)]
    if host is not None:
        drawn.append(Nodes(list(_nodes(host, one))))
    drawn += [_parts(instance, one), *drift_lines(one)]
    if host is not None:
        drawn.append(Text(_KEY, FREE))
    return console.Group(*drawn)


def _nodes(host: Document, one: Resident) -> Iterator[Node]:
    taken = mask(host["cpus"]["claimed"]) | mask(host["cpus"]["given"])
    taken |= ~mask(host["cpus"]["managed"])
    here: dict[int, list[str]] = {}
    for part, cpus in people.threads(one.observed).items():
        if not floats(cpus, host):
            for pcpu in cpuset.members(cpus):
                here.setdefault(pcpu, []).append(part)
    for node in host["numa_nodes"]:
        cores = [
            [
                _cell(pcpu, here.get(pcpu, []), one, bool(taken >> pcpu & 1))
                for pcpu in cpuset.members(mask(core["cpus"]))
            ]
            for core in node["cores"]
        ]
        yield Node(f"NUMA node {node['id']}", cores, list(bars(node, [one])))


def _cell(pcpu: int, parts: list[str], one: Resident, taken: bool) -> Cell:
    if not parts:
        return Cell(pcpu, "#" if taken else ".")
    strays = any(part in one.wanted and not one.wanted[part] >> pcpu & 1 for part in parts)
    return Cell(pcpu, _label(parts), STRAY if strays else " ", ALARM if strays else color(0))


def _label(parts: list[str]) -> str:
    """Return ``v3`` for vCPU 3, ``i1`` for I/O thread 1, ``e`` for the emulator.

    A vCPU goes before others, and ``+`` stands for what else of the same kind is there.
    """
    for kind, letter in (("vCPU ", "v"), ("I/O thread ", "i")):
        numbers = [part.removeprefix(kind) for part in parts if part.startswith(kind)]
        if numbers:
            return f"{letter}{numbers[0]}{'+' if len(numbers) > 1 else ''}"
    return "e"


def _head(instance: Document, one: Resident) -> Text:
    text = Text(one.name, style="bold")
    text.append(f" {one.uuid}  {one.state} on {instance['host']}")
    text.append(f", {instance['vcpus']} vCPUs, {instance['memory_mib']} MiB")
    text.append(f"; pin {one.status}" if one.status else "; no pin")
    return text


def _parts(instance: Document, one: Resident) -> console.RenderableType:
    """Return a table of the parts: where each may be, where it belongs, and what it does."""
    parts = list(dict.fromkeys((*one.observed, *one.wanted)))
    if not parts:
        return Text("It has no threads, and no pin that places them.")
    shown = table.Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style=FREE)
    for title in ("part", "is on", "belongs on", "runs %", "waits %", ""):
        shown.add_column(title, justify="right" if "%" in title else "left", overflow="fold")
    load = _load(instance)
    drifted = {part for part, _, _ in one.drifts()}
    for part in parts:
        shown.add_row(
            part if part != MEMORY else "memory (NUMA node)",
            _set(one.observed.get(part, 0)),
            _set(one.wanted.get(part, 0)),
            *load.get(part, ("", "")),
            Text(STRAY, style=ALARM) if part in drifted else "",
        )
    return shown


def _set(cpus: int) -> str:
    return cpuset.to_text(cpus) or "-"


def _load(instance: Document) -> dict[str, tuple[str, str]]:
    """Return by vCPU how much of the last interval it ran, and waited for a pCPU."""
    vcpus: Mapping[str, Any] = (instance.get("usage") or {}).get("vcpus") or {}
    return {
        f"vCPU {number}": (_percent(vcpu.get("run_percent")), _percent(vcpu.get("wait_percent")))
        for number, vcpu in vcpus.items()
    }


def _percent(value: float | None) -> str:
    return "" if value is None else f"{value:.0f}"
