# SPDX-License-Identifier: Apache-2.0
"""kongming-agent: places the instances of this host."""

from kongming import hypervisor, service
from kongming.agent.manager import AgentManager


def main() -> int:
    """Run until SIGTERM."""
    conf = service.prepare("kongming-agent")
    return service.serve(conf, lambda: AgentManager(conf, conf.host, hypervisor.load(conf)))
