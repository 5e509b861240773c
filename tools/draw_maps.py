#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Draws the maps in the documentation: doc/source/user/maps/*.txt and *.svg.

They are drawn from answers of the API that are kept beside them as *.json; ``--record`` asks
for these anew, of KongMing on simulated hosts.
"""

import argparse
import io
import json
import pathlib
import sys
import tempfile
import time
import urllib.request
from collections.abc import Callable, Mapping
from typing import Any

import yaml
from rich import console, terminal_theme

from kongming.osc.map.host import host_map
from kongming.osc.map.instance import instance_map

DIRECTORY = pathlib.Path(__file__).parent.parent / "doc/source/user/maps"
HEADERS = {"OpenStack-API-Version": "resource_pin latest", "Content-Type": "application/json"}

#: Name of each map, its width, and whose it is.
MAPS = {
    "small": (88, "host"),
    "narrow": (46, "host"),
    "large": (120, "host"),
    "instance": (88, "instance"),
}

FLEET = """
hosts:
- name: edge-1
  nodes: 2
  cores_per_node: 8
  threads_per_core: 2
  memory_mib_per_node: 65536
  huge_pages: {2048: 4096}
  offline: "31"
  instances:
  - {name: router, vcpus: 4, memory_mib: 8192, iothreads: 1}
  - {name: firewall, vcpus: 4, memory_mib: 8192}
  - {name: cache, vcpus: 2, memory_mib: 4096}
  - {name: database, vcpus: 4, memory_mib: 16384, iothreads: 2, dedicated: true,
     vcpu_pins: {0: 8, 1: 24, 2: 9, 3: 25}, memory_nodes: 1}
- name: core-1
  nodes: 4
  cores_per_node: 32
  threads_per_core: 2
  memory_mib_per_node: 262144
  huge_pages: {1048576: 64}
  instances:
  - {name: upf-1, vcpus: 16, memory_mib: 32768, iothreads: 2}
  - {name: upf-2, vcpus: 16, memory_mib: 32768, iothreads: 2}
  - {name: smf, vcpus: 8, memory_mib: 16384}
  - {name: amf, vcpus: 8, memory_mib: 16384}
  - {name: nrf, vcpus: 4, memory_mib: 8192}
  - {name: ausf, vcpus: 4, memory_mib: 8192}
  - {name: pcf, vcpus: 12, memory_mib: 49152, iothreads: 1}
  - {name: udm, vcpus: 12, memory_mib: 49152}
  - {name: logs, vcpus: 8, memory_mib: 16384}
  - {name: lab-1, vcpus: 2, memory_mib: 4096, dedicated: true, vcpu_pins: {0: 96, 1: 224},
     memory_nodes: 3}
  - {name: lab-2, vcpus: 2, memory_mib: 4096, dedicated: true, vcpu_pins: {0: 97, 1: 224},
     memory_nodes: 3}
"""

ALONE = {"cpu_policy": "dedicated", "emulator": "share"}
PINS: dict[str, dict[str, Any]] = {
    "router": ALONE
    | {
        "vcpus": {"0": "0", "1": "16", "2": "1", "3": "17"},
        "iothreads": {"1": "7"},
        "memory": {"nodes": "0"},
        "enforce": False,
    },
    "firewall": {
        "cpu_policy": "dedicated",
        "thread_policy": "isolate",
        "emulator": "23",
        "memory": {"nodes": "0"},
    },
    "cache": {"vcpus": {"0-1": "12-13"}, "emulator": "12", "memory": {"nodes": "1"}},
    "upf-1": ALONE | {"iothreads": {"1-2": "16"}, "memory": {"nodes": "0"}},
    "upf-2": ALONE | {"iothreads": {"1-2": "48"}, "memory": {"nodes": "1"}},
    "smf": ALONE | {"thread_policy": "isolate", "memory": {"nodes": "1"}},
    "amf": {"vcpus": {"0-7": "28-31"}, "emulator": "28", "memory": {"nodes": "0"}},
    "nrf": {"vcpus": {"0-3": "28-31"}, "emulator": "29", "memory": {"nodes": "0"}},
    "ausf": {"vcpus": {"0-3": "30-31"}, "emulator": "31", "memory": {"nodes": "0"}},
    "pcf": ALONE | {"iothreads": {"1": "72"}, "memory": {"nodes": "2"}, "enforce": False},
    "udm": ALONE | {"memory": {"nodes": "2"}},
}


def main() -> int:
    """Draw all maps, from new documents if that is asked for."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--record", action="store_true", help="ask for the documents anew")
    if parser.parse_args().record:
        for name, documents in record().items():
            (DIRECTORY / f"{name}.json").write_text(json.dumps(documents, indent=1) + "\n")
    for name in MAPS:
        (DIRECTORY / f"{name}.txt").write_text(text(name))
        (DIRECTORY / f"{name}.svg").write_text(svg(name))
    return 0


def drawing(name: str) -> tuple[console.RenderableType, int]:
    """Return a map for rich, and how wide it is."""
    width, kind = MAPS[name]
    source = "small" if name == "narrow" else name
    documents = json.loads((DIRECTORY / f"{source}.json").read_text())
    draw: Callable[..., console.RenderableType] = host_map if kind == "host" else instance_map
    return draw(**documents), width


def text(name: str) -> str:
    """Return a map without colours."""
    drawn, width = drawing(name)
    file = io.StringIO()
    console.Console(file=file, width=width, highlight=False, color_system=None).print(drawn)
    return "\n".join(line.rstrip() for line in file.getvalue().splitlines()) + "\n"


def svg(name: str) -> str:
    """Return a map as a picture."""
    drawn, width = drawing(name)
    screen = console.Console(
        record=True, width=width, highlight=False, file=io.StringIO(), force_terminal=True
    )
    screen.print(drawn)
    return screen.export_svg(
        code_format=_SVG, theme=terminal_theme.DIMMED_MONOKAI, unique_id=name, title=name
    )


def record() -> dict[str, Any]:
    """Return the documents of each map, as KongMing on simulated hosts answers."""
    from kongming.cmd import standalone
    from kongming.hypervisor import fleet, simulated
    from kongming.hypervisor.driver import Scope
    from kongming.topology.part import Part
    from kongming.topology.placement import Placement

    world = simulated.Fleet(fleet.parse(yaml.safe_load(FLEET)))
    drivers = {name: simulated.SimulatedDriver(world, name) for name in world.host_names}
    with tempfile.TemporaryDirectory() as directory:
        conf = standalone.configure(directory, port=0)
        conf.set_override("update_resources_interval", 2, "agent")
        parts = standalone.Parts(conf, drivers)
        parts.start()
        try:
            api = Api(parts.url)
            uuids = {one["name"]: one["uuid"] for one in api.list("instances", len(PINS) + 2)}
            for name, wish in PINS.items():
                api.ask("/v1/pins", {"instance_uuid": uuids[name], **wish})
            api.until(lambda: {pin["status"] for pin in api.list("pins")} == {"applied"})
            # somebody moves threads by hand
            for host, name, vcpu, pcpu in (("edge-1", "router", 1, 10), ("core-1", "pcf", 3, 84)):
                place = Placement({Part("vcpu", vcpu): 1 << pcpu})
                drivers[host].write(uuids[name], Scope.LIVE, place)
            api.until(lambda: _drifted(api, uuids["router"]) and _drifted(api, uuids["pcf"]))
            # the usage is that of the last report
            api.until(lambda: _memory_nodes(api, uuids["udm"]) == {"2"})
            return {
                "small": api.documents("edge-1"),
                "large": api.documents("core-1"),
                "instance": {
                    "instance": api.ask(f"/v1/instances/{uuids['router']}"),
                    "pin": api.ask(f"/v1/pins/{uuids['router']}"),
                    "host": _without_usage(api.ask("/v1/hosts/edge-1")),
                },
            }
        finally:
            parts.stop()


class Api:
    """The few calls that are needed."""

    def __init__(self, url: str) -> None:
        self._url = url

    def ask(self, path: str, body: Mapping[str, Any] | None = None) -> Any:
        """Return the answer to a GET, or to a POST of ``body``."""
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(self._url + path, data, HEADERS)
        with urllib.request.urlopen(request, timeout=30) as answer:  # nosec B310 # our own
            return json.load(answer)

    def list(self, noun: str, count: int = 0) -> list[dict[str, Any]]:
        """Return what a list has, once there is so much."""
        self.until(lambda: len(self.ask(f"/v1/{noun}")[noun]) >= count)
        found: list[dict[str, Any]] = self.ask(f"/v1/{noun}")[noun]
        return found

    def until(self, done: Callable[[], Any]) -> None:
        """Wait for something."""
        end = time.monotonic() + 60
        while not done():
            if time.monotonic() > end:
                raise TimeoutError("the simulated hosts do not get there")
            time.sleep(0.1)

    def documents(self, host: str) -> dict[str, Any]:
        """Return what the map of a host is drawn from."""
        return {
            "host": _without_usage(self.ask(f"/v1/hosts/{host}")),
            "instances": self.ask(f"/v1/instances?host={host}")["instances"],
            "pins": self.ask(f"/v1/pins?host={host}")["pins"],
        }


def _drifted(api: Api, uuid: str) -> bool:
    return bool(api.ask(f"/v1/pins/{uuid}")["status"] == "drifted")


def _memory_nodes(api: Api, uuid: str) -> set[str]:
    usage = api.ask(f"/v1/instances/{uuid}")["usage"] or {"memory": {}}
    return {node for nodes in usage["memory"].values() for node in nodes}


def _without_usage(host: dict[str, Any]) -> dict[str, Any]:
    """Return a host without what each pCPU did, which no map shows."""
    return host | {"usage": None}


#: rich's own has a window around it, and fetches fonts.
_SVG = """\
<svg viewBox="0 0 {width} {height}" xmlns="http://www.w3.org/2000/svg">
<style>
.{unique_id}-matrix {{ font-family: monospace; font-size: {char_height}px;
  line-height: {line_height}px; }}
{styles}
</style>
<defs>{lines}</defs>
<rect fill="#191919" width="100%" height="100%"/>
<g transform="translate(8, 8)">
{backgrounds}
<g class="{unique_id}-matrix">{matrix}</g>
</g>
</svg>
"""


if __name__ == "__main__":
    sys.exit(main())
