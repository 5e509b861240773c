# SPDX-License-Identifier: Apache-2.0
"""What a libvirt node device document says about a PCI device: its address, its NUMA node."""

from kongming.topology import markup

_ADDRESS = ("domain", "bus", "slot", "function")


class DeviceXmlError(ValueError):
    """The document does not describe a PCI device."""


def parse(document: str) -> tuple[str, int]:
    """Return the address, such as ``0000:3b:00.1``, and the id of the NUMA node, -1 for none.

    :param document: XML as `virNodeDeviceGetXMLDesc` gives it (libvirt's formatnode)
    :raises DeviceXmlError: it is not that of a PCI device
    """
    try:
        root = markup.root(document)
        pci = root.find("./capability[@type='pci']")
        if pci is None:
            raise DeviceXmlError("no <capability type='pci'>")
        domain, bus, slot, function = (int(pci.findtext(name) or "") for name in _ADDRESS)
        numa = pci.find("numa")
        node = -1 if numa is None else int(numa.attrib["node"])
    except (KeyError, ValueError) as error:
        raise DeviceXmlError(f"unreadable device XML: {error}") from error
    return f"{domain:04x}:{bus:02x}:{slot:02x}.{function:x}", node
