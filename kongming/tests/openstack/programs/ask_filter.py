# SPDX-License-Identifier: Apache-2.0
"""Put requests to the scheduler filter as nova-scheduler does. Runs in nova's own environment.

Reads a JSON object from standard input: ``conf``, the text of a nova.conf; and ``runs``, each with
a filter of its own: ``options`` of its group ``kongming``; ``threads``, how many ask at once;
``fork``, whether they do so in a process forked after the filter was made; and
``requests``, each with ``hosts`` and if wanted ``hint``, ``uuids`` (several instances in one
request), ``vcpus``, ``nodes`` (of each host), ``rebuild``, ``group`` (a policy), ``broken`` (no
flavor). Writes a JSON object: ``runs``, for each of them a list for each request of what became of
its instances, ``{"hosts": ...}``, ``{"refused": reason}`` or ``{"raised": ...}``, with ``seconds``;
and ``modules``, those of KongMing's server side that the filter has loaded.
"""

import json
import logging
import os
import sys
import tempfile
import time
import uuid
from concurrent import futures
from typing import Any

NOT_FOR_NOVA = (
    *("eventlet", "libvirt", "pecan", "wsme"),
    *("kongming.api", "kongming.conductor", "kongming.db", "kongming.objects"),
)


def main() -> None:
    """Answer what is on standard input."""
    from nova import config, objects
    from nova.scheduler.filters import BaseHostFilter

    asked = json.load(sys.stdin)
    objects.register_all()
    before = set(sys.modules)
    from kongming.compute.kongming_filter import KongmingFilter

    with tempfile.NamedTemporaryFile("w", suffix=".conf") as file:
        file.write(asked["conf"])
        file.flush()
        config.parse_args(["nova-scheduler", "--config-file", file.name], default_config_files=[])
        logging.basicConfig(level=logging.INFO, stream=sys.stderr, force=True)
        # in nova, its loader insists on this
        assert issubclass(KongmingFilter, BaseHostFilter)
        runs = []
        for run in asked["runs"]:
            for name, value in run.get("options", {}).items():
                config.CONF.set_override(name, value, "kongming")
            kongming_filter = KongmingFilter()
            runs.append((_in_a_child if run.get("fork") else _answers)(kongming_filter, run))
    brought = sorted(name for name in set(sys.modules) - before if name.startswith(NOT_FOR_NOVA))
    json.dump({"runs": runs, "modules": brought}, sys.stdout)


def _in_a_child(kongming_filter: Any, asked: dict[str, Any]) -> Any:
    reads, writes = os.pipe()
    child = os.fork()
    if child == 0:
        with os.fdopen(writes, "w") as pipe:
            json.dump(_answers(kongming_filter, asked), pipe)
        os._exit(0)
    os.close(writes)
    with os.fdopen(reads) as pipe:
        answers = json.load(pipe)
    os.waitpid(child, 0)
    return answers


def _answers(kongming_filter: Any, asked: dict[str, Any]) -> Any:
    with futures.ThreadPoolExecutor(asked.get("threads", 1)) as pool:
        return list(pool.map(lambda each: _schedule(kongming_filter, each), asked["requests"]))


def _schedule(kongming_filter: Any, request: dict[str, Any]) -> list[dict[str, Any]]:
    """Do what the scheduler's manager does for the instances of one request."""
    from nova import exception
    from nova.scheduler import host_manager

    uuids = request.get("uuids") or [str(uuid.uuid4())]
    spec = _spec(request, len(uuids))
    states = [
        host_manager.HostState(host, f"{host}-{number}", "cell")
        for host in request["hosts"]
        for number in range(request.get("nodes", 1))
    ]
    answers = []
    # one more for the alternates
    for each in [*uuids, *uuids[-1:]] if len(uuids) > 1 else uuids:
        spec.instance_uuid = each
        begun = time.monotonic()
        try:
            states = list(kongming_filter.filter_all(states, spec))
            answer: dict[str, Any] = {"hosts": [state.host for state in states]}
        except exception.NoValidHost as error:
            answer = {"refused": str(error)}
        except Exception as error:
            answer = {"raised": repr(error)}
        answers.append(answer | {"uuid": each, "seconds": time.monotonic() - begun})
        if "hosts" not in answer:
            break
    return answers


def _spec(request: dict[str, Any], count: int) -> Any:
    from nova import context, objects

    hints = {}
    if "hint" in request:
        hint = request["hint"]
        hints["resource_pin"] = hint if isinstance(hint, list) else [hint]
    if request.get("rebuild"):
        hints["_nova_check_type"] = ["rebuild"]
    group = request.get("group")
    cells = [objects.InstanceNUMACell(cpuset=set(), pcpuset={0, 1}, memory=1024)]
    topology = objects.InstanceNUMATopology(cells=cells) if request.get("dedicated") else None
    spec = objects.RequestSpec(
        context.RequestContext(
            "mano", "telco", auth_token="secret", roles=["member", "resource_pin"]
        ),
        flavor=objects.Flavor(vcpus=request.get("vcpus", 4), memory_mb=1024, extra_specs={}),
        project_id="telco",
        user_id="mano",
        num_instances=count,
        scheduler_hints=hints,
        numa_topology=topology,
        instance_group=objects.InstanceGroup(policy=group, hosts=[]) if group else None,
    )
    if request.get("broken"):
        del spec.flavor
    return spec


if __name__ == "__main__":
    main()
