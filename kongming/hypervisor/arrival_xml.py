# SPDX-License-Identifier: Apache-2.0
"""What a libvirt domain document says of places that the host it comes to does not have."""

from xml import dom
from xml.dom import minidom  # nosec B408 # see markup
from xml.parsers import expat

from kongming.topology import cpuset, markup

_PINS = ("vcpupin", "emulatorpin", "iothreadpin")


class ArrivalXmlError(ValueError):
    """The document does not describe a domain."""


def fitted(document: str, cpus: int, nodes: int) -> str:
    """Return a document without the pins of which some place is missing on the host.

    The whole entry goes: to squeeze its threads into what is left of it would help nobody, and
    the agent gives them their place as soon as they run. So goes memory with mode
    ``restrictive``, which is KongMing's; other modes are Nova's, and libvirt shall judge them.

    :param document: XML as libvirt sends it along with a domain (its formatdomain)
    :param cpus: bitmask of the pCPUs that are online
    :param nodes: bitmask of the NUMA nodes that have memory
    :returns: nothing (``""``) if the document may stay as it is
    :raises ArrivalXmlError: it is not that of a domain
    """
    try:
        parsed = minidom.parseString(markup.checked(document))  # nosec B318 # checked
        surplus = [
            (tune, entry)
            for name in ("cputune", "numatune")
            for tune in parsed.getElementsByTagName(name)
            for entry in tune.childNodes
            if isinstance(entry, minidom.Element) and _is_amiss(entry, cpus, nodes)
        ]
        for tune, entry in surplus:
            tune.removeChild(entry)
        return parsed.toxml() if surplus else ""
    except RecursionError as error:
        raise ArrivalXmlError("unreadable domain XML: nested too deeply") from error
    except (expat.ExpatError, dom.DOMException, ValueError) as error:
        raise ArrivalXmlError(f"unreadable domain XML: {error}") from error


def _is_amiss(entry: minidom.Element, cpus: int, nodes: int) -> bool:
    if entry.tagName in _PINS:
        return bool(cpuset.parse(entry.getAttribute("cpuset")) & ~cpus)
    if (entry.tagName, entry.getAttribute("mode")) == ("memory", "restrictive"):
        return bool(cpuset.parse(entry.getAttribute("nodeset")) & ~nodes)
    return False
