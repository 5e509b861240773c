# SPDX-License-Identifier: Apache-2.0
"""Options of ``[quota]``."""

from typing import Any

from oslo_config import cfg

GROUP = "quota"
_UNLIMITED = "-1: as many as there are"
OPTS = [
    cfg.IntOpt(
        "pins",
        default=-1,
        min=-1,
        help=f"""
Pins that a project may have, unless an administrator has set a limit of its own
({_UNLIMITED}). Set it where anybody may make pins.
""",
    ),
    cfg.IntOpt(
        "dedicated_pcpus",
        default=-1,
        min=-1,
        help=f"""
pCPUs that the instances of a project may have for themselves, unless an administrator has set a
limit of its own ({_UNLIMITED}). Set it unless every project may take whole hosts: what one has for
itself no other gets.
""",
    ),
    cfg.IntOpt(
        "memory_mib",
        default=-1,
        min=-1,
        help=f"""
MiB of memory that pins may hold on NUMA nodes for a project, unless an administrator has set a
limit of its own ({_UNLIMITED}). Set it as ``dedicated_pcpus``.
""",
    ),
    cfg.IntOpt(
        "calendars",
        default=100,
        min=-1,
        help=f"""
Calendars that a project may have ({_UNLIMITED}); one that has more keeps them. Every conductor
looks at all calendars every few seconds: raise it for orchestrators that need many, not for
everybody.
""",
    ),
    cfg.IntOpt(
        "templates",
        default=100,
        min=-1,
        help=f"""
Templates that a project may have ({_UNLIMITED}); one that has more keeps them. Each keeps all of
its versions: raise it for orchestrators that need many, not for everybody.
""",
    ),
    cfg.IntOpt(
        "highest_weight",
        default=100,
        min=1,
        max=10000,
        help="""
Highest weight of CPU time (of cgroup v2; 100 is 1024 shares, what everything has by default) for
which those may ask who must not name pCPUs, and hints by way of the scheduler's filter. Raise it if
members may put their instances before those of others.
""",
    ),
    cfg.IntOpt(
        "highest_quota_percent",
        default=-1,
        min=-1,
        max=100,
        help="""
Highest quota of a vCPU, the emulator or an I/O thread, in per cent of a pCPU, for which those may
ask who must not name pCPUs, and hints by way of the scheduler's filter (-1: any). Set it where
flavors limit CPU time, which members could otherwise lift.
""",
    ),
]


def register_opts(conf: cfg.ConfigOpts) -> None:
    """Register the options of this group."""
    conf.register_opts(OPTS, group=GROUP)


def list_opts() -> list[tuple[str, list[Any]]]:
    """Return the group and its options for the sample generator."""
    return [(GROUP, OPTS)]
