#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Time a real nova's NUMATopologyFilter over many hosts. Runs in nova's own environment.

Reads ``{"wish", "size", "hosts": {name: case}, "repeat"}`` (cases as of nova_oracle.py) from
standard input and writes ``{"passed": [name], "seconds": [of each pass over all hosts]}``. What
the scheduler has when it comes to its filters, the states of the hosts and the specification of
the request, is made before the clock runs; its logging is off.
"""

import json
import logging
import pathlib
import subprocess  # nosec B404 # for the commands below
import sys
import time
import uuid
from typing import Any

import nova_oracle


def ask(python: pathlib.Path, question: dict[str, Any]) -> dict[str, Any]:
    """Return nova's answer to a question."""
    done = subprocess.run(  # nosec B603 # of ours alone
        [python, "-W", "ignore", __file__],
        input=json.dumps(question),
        stdout=subprocess.PIPE,
        text=True,
        check=True,
    )
    answer: dict[str, Any] = json.loads(done.stdout)
    return answer


def main() -> None:
    """Answer the question on standard input."""
    from nova import objects
    from nova.scheduler import host_manager
    from nova.scheduler.filters import numa_topology_filter

    objects.register_all()
    logging.disable(logging.CRITICAL)
    question = json.load(sys.stdin)
    states = []
    for name, case in question["hosts"].items():
        state = host_manager.HostState(name, name, None)
        state.numa_topology = nova_oracle.host_topology(objects, case)
        state.cpu_allocation_ratio = state.ram_allocation_ratio = 1.0
        states.append(state)
    case = {"wish": question["wish"], "size": question["size"]}
    spec = objects.RequestSpec(
        instance_uuid=str(uuid.uuid4()),
        flavor=objects.Flavor(extra_specs={"hw:cpu_policy": question["wish"]["cpu_policy"]}),
        image=objects.ImageMeta(properties=objects.ImageMetaProps()),
        numa_topology=nova_oracle.instance_topology(objects, case),
        pci_requests=objects.InstancePCIRequests(requests=[]),
    )
    numa = numa_topology_filter.NUMATopologyFilter()
    seconds, passed = [], []
    for _ in range(question["repeat"]):
        for state in states:
            # the filter takes from it what does not pass
            state.allocation_candidates = [{"mappings": {}}]
        begun = time.perf_counter()
        passed = [state.host for state in numa.filter_all(states, spec)]
        seconds.append(time.perf_counter() - begun)
    json.dump({"passed": passed, "seconds": seconds}, sys.stdout)


if __name__ == "__main__":
    main()
