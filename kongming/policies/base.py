# SPDX-License-Identifier: Apache-2.0
"""Rules that the others are made of: the personas of OpenStack, and what KongMing adds.

Reader, member and manager act in the project of their token, admins in all, services of the cloud
such as the scheduler for all. Keystone lets a manager be a member and a member a reader; here a
manager is just a member. The role ``resource_pin`` is none of these: it adds to them that pCPUs,
NUMA nodes and hosts may be named and seen.
"""

from oslo_policy import policy

ADMIN = "rule:resource_pin:admin"
ADMIN_OR_SERVICE = "rule:resource_pin:admin_or_service"
PLACER = "rule:resource_pin:placer"
READER = "rule:resource_pin:project_reader"
READER_OR_SERVICE = "rule:resource_pin:project_reader_or_service"
ANY_READER = "rule:resource_pin:admin_or_service or role:reader"
MEMBER = "rule:resource_pin:project_member"
MEMBER_OR_SERVICE = "rule:resource_pin:project_member_or_service"

SCOPE = ["project"]

#: Whether pCPUs, NUMA nodes, PCI devices and hosts may be named in a wish.
NAME_PLACES = "resource_pin:places:name"
#: Whether they are shown, and asked for in a list.
SEE_PLACES = "resource_pin:places:see"
#: Whether more CPU time may be asked for than ``[quota]`` lets members have.
EXCEED_CPU_TIME = "resource_pin:cpu_time:exceed"
#: Whether instances of other projects are named where they meet one's own.
SEE_OTHERS = "resource_pin:others:see"


def _part(name: str, check: str, description: str) -> policy.RuleDefault:
    return policy.RuleDefault(f"resource_pin:{name}", check, description, scope_types=SCOPE)


RULES = [
    _part("admin", "role:admin", "Operators of the cloud."),
    _part(
        "admin_or_service",
        "rule:resource_pin:admin or role:service",
        "Operators, and services of the cloud such as the scheduler.",
    ),
    _part(
        "placer",
        "rule:resource_pin:admin_or_service or role:resource_pin",
        "Who deals with pCPUs, NUMA nodes and hosts: an orchestrator (MANO) with this role.",
    ),
    _part(
        "project_reader",
        "rule:resource_pin:admin or (role:reader and project_id:%(project_id)s)",
        "Operators, and readers of the project that owns the instance.",
    ),
    _part(
        "project_reader_or_service",
        "rule:resource_pin:project_reader or role:service",
        "Those, and services of the cloud such as the scheduler.",
    ),
    _part(
        "project_member",
        "rule:resource_pin:admin or (role:member and project_id:%(project_id)s)",
        "Operators, and members of the project that owns the instance.",
    ),
    _part(
        "project_member_or_service",
        "rule:resource_pin:project_member or role:service",
        "Those, and services of the cloud such as the scheduler.",
    ),
    _part(
        "places:name",
        PLACER,
        "Name pCPUs, NUMA nodes or PCI devices in a wish; others describe what they need.",
    ),
    _part(
        "cpu_time:exceed",
        # the scheduler asks for users, of whose roles only it knows
        f"rule:resource_pin:admin or ({PLACER} and not role:service)",
        "Ask for CPU time above [quota] highest_weight and highest_quota_percent.",
    ),
    _part(
        "places:see",
        PLACER,
        "See on which host, NUMA nodes and pCPUs things are; from others that is kept.",
    ),
    _part(
        "others:see",
        "rule:resource_pin:admin_or_service",
        "See which instances of other projects are in the way of one's own.",
    ),
]
