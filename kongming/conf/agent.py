# SPDX-License-Identifier: Apache-2.0
"""Options of ``[agent]``."""

from typing import Any

from oslo_config import cfg

GROUP = "agent"
OPTS = [
    cfg.StrOpt(
        "hypervisor",
        default="libvirt",
        help="""
Driver through which the agent works: ``libvirt`` or ``simulated`` (an entry point of
``kongming.hypervisor``). ``simulated`` is for trials and tests only.
""",
    ),
    cfg.IntOpt(
        "update_resources_interval",
        default=60,
        min=1,
        help="""
Seconds between two full reports of the host, each of which also compares every
pinned instance with the kernel. A host silent for three intervals is ``down``.
Lower it to notice tampering and dead hosts sooner, at the price of load.
""",
    ),
    cfg.IntOpt(
        "fight_threshold",
        default=5,
        min=1,
        help="""
How many times in a minute an instance is put back before somebody else is taken to fight: from then
on it is left alone for a minute, then for two, and so on. Raise it where tools of yours move
instances often and KongMing shall always have the last word.
""",
    ),
    cfg.IntOpt(
        "fight_backoff",
        default=3600,
        min=1,
        help="""
Seconds for which an instance is left alone at most when somebody goes on fighting. Lower it to be
back sooner once the other side has given in.
""",
    ),
    cfg.StrOpt(
        "agent_trigger_metadata_key",
        default="kongming-vcpu-pinning",
        help="""
Key in the metadata of a server whose value is its wish: a CPU set for every vCPU, or a pin as JSON.
It counts where Nova's notifications are listened to, by a conductor or an agent. Change it if your
users have other keys already.
""",
    ),
    cfg.BoolOpt(
        "standalone",
        default=False,
        help="""
Do without API, conductors and database: take wishes from the metadata in Nova's notifications, and
decide here. Set it on all hosts of a cloud where metadata is all that is wanted.
""",
    ),
    cfg.StrOpt(
        "managed_cpus",
        help="""
pCPUs on which instances may be placed, such as ``2-31,^16``; all online ones if unset.
Set it to keep pCPUs for the host itself, or for Nova's ``[compute] cpu_shared_set`` and
``cpu_dedicated_set``. The agent puts no thread elsewhere, but what is elsewhere already stays
there until its pin changes or something moves it.
""",
    ),
    cfg.DictOpt(
        "reserved_memory_mib",
        default={},
        help="""
MiB of each NUMA node that are not for instances, such as ``0:4096,1:1024``. Set it to what
the host itself needs on a node, so that no placement drives it out of memory. Memory is not
moved to a node either that would have less than this free.
""",
    ),
    cfg.PortOpt(
        "metrics_port",
        min=1,
        help="""
Port on which the agent answers Prometheus over HTTP; it does not if unset. Each host has one
agent, so that the same port does for all.
""",
    ),
    cfg.HostAddressOpt(
        "metrics_host",
        default="127.0.0.1",
        help="""
Address on which it does. Whoever reaches it reads the UUID and the load of every instance: set it
to an address of the management network when Prometheus runs elsewhere.
""",
    ),
    cfg.StrOpt(
        "state_dir",
        default="/var/lib/kongming",
        help="""
Directory of the file in which the agent keeps the placements that it last received,
so that instances are pinned while the control plane is away. Change it where that
path is not on a disk that survives a reboot.
""",
    ),
]


def register_opts(conf: cfg.ConfigOpts) -> None:
    """Register the options of this group."""
    conf.register_opts(OPTS, group=GROUP)


def list_opts() -> list[tuple[str, list[Any]]]:
    """Return the group and its options for the sample generator."""
    return [(GROUP, OPTS)]
