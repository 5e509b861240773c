# SPDX-License-Identifier: Apache-2.0
"""Start an instance whose guest uses all its memory, and wait until it has. Runs in the lab.

Reads a JSON object from standard input with fields of ``Wanted``. Writes its UUID as ``uuid``, and
the ``seconds`` that it took.

Only libvirt is imported: to import KongMing takes an emulated CPU seconds.
"""

import dataclasses
import json
import pathlib
import struct
import sys
import time
import uuid

import libvirt

IMAGES = pathlib.Path("/var/lib/libvirt/images")
LOGS = pathlib.Path("/var/log/libvirt/qemu")
PATIENCE_SECONDS = 300

BACKINGS = {
    "": "",
    "hugepages": "<hugepages><page size='2' unit='MiB'/></hugepages>",
    "memfd": "<source type='memfd'/><access mode='shared'/>",
}
TEMPLATE = """
<domain type='qemu'>
  <name>instance-{uuid}</name>
  <uuid>{uuid}</uuid>
  <memory unit='MiB'>{memory_mib}</memory>
  <vcpu placement='static'{cpuset}>{vcpus}</vcpu>
  <iothreads>{iothreads}</iothreads>
  <memoryBacking>{backing}{allocation}</memoryBacking>
  {numatune}
  {extra}
  <os><type arch='x86_64' machine='pc'>hvm</type><kernel>{kernel}</kernel></os>
  <devices>
    <controller type='usb' model='none'/>
    <memballoon model='none'/>
    <serial type='file'><source path='{serial}'/></serial>
  </devices>
</domain>
"""


@dataclasses.dataclass(frozen=True)
class Wanted:
    """What an instance is like.

    :param memory_mib: memory of its guest, 4 to 3072.
    :param vcpus: number of vCPUs, of which the guest keeps the first one busy.
    :param iothreads: number of I/O threads, which libvirt counts from 1.
    :param cpus: pCPUs of all its threads, as ``0-3,8``; empty for no restriction.
    :param mode: of ``<numatune>``, as ``strict`` or ``restrictive``; empty for none at all.
    :param nodes: NUMA nodes of its memory, as ``0-1``; without a mode they mean nothing.
    :param backing: its memory: ``hugepages`` of 2 MiB, shared ``memfd``; empty for anonymous.
    :param allocate: whether QEMU takes all memory before the guest starts.
    :param extra: more elements of the domain XML, such as ``<cputune>``.
    """

    memory_mib: int = 256
    vcpus: int = 2
    iothreads: int = 0
    cpus: str = ""
    mode: str = ""
    nodes: str = "0"
    backing: str = ""
    allocate: bool = False
    extra: str = ""


def program(memory_mib: int) -> bytes:
    """A guest of 32-bit x86, which QEMU loads as its kernel (Multiboot Specification, version 1).

    It writes to one word of each page from 2 MiB up, prints a dot on the serial port, and starts
    again; the page above the first MiB is its own.
    """
    load, start, end = 1 << 20, 2 << 20, memory_mib << 20
    first_page = b"\xbf" + struct.pack("<I", start)  # mov edi, start
    a_page = (
        b"\xff\x07"  # inc dword [edi]
        + b"\x81\xc7"  # add edi, 4096
        + struct.pack("<I", 4096)
        + b"\x81\xff"  # cmp edi, end
        + struct.pack("<I", end)
    )
    next_page = b"\x72" + struct.pack("b", -len(a_page) - 2)  # jb a_page
    dot = b"\x66\xba\xf8\x03" + b"\xb0." + b"\xee"  # mov dx, 0x3f8; mov al, '.'; out dx, al
    code = first_page + a_page + next_page + dot
    code += b"\xeb" + struct.pack("b", -len(code) - 2)  # jmp first_page
    # The fifth and following words: no ELF file, but these addresses.
    magic, flags, header = 0x1BADB002, 1 << 16, 32
    check = -(magic + flags) & 0xFFFFFFFF
    addresses = (load, load, load + header + len(code), 0, load + header)
    return struct.pack("<8I", magic, flags, check, *addresses) + code


def start(wanted: Wanted) -> str:
    """Start the instance, wait until its guest has used all its memory; return the UUID.

    :raises libvirt.libvirtError: libvirt refuses it.
    :raises TimeoutError: its guest does not come to the end of its memory.
    """
    name = str(uuid.uuid4())
    kernel = IMAGES / f"uses-{wanted.memory_mib}-mib"
    kernel.write_bytes(program(wanted.memory_mib))
    serial = LOGS / f"{name}.serial"
    numatune = f"<numatune><memory mode='{wanted.mode}' nodeset='{wanted.nodes}'/></numatune>"
    document = TEMPLATE.format(
        uuid=name,
        memory_mib=wanted.memory_mib,
        vcpus=wanted.vcpus,
        iothreads=wanted.iothreads,
        cpuset=f" cpuset='{wanted.cpus}'" if wanted.cpus else "",
        backing=BACKINGS[wanted.backing],
        allocation="<allocation mode='immediate'/>" if wanted.allocate else "",
        numatune=numatune if wanted.mode else "",
        extra=wanted.extra,
        kernel=kernel,
        serial=serial,
    )
    connection = libvirt.open("qemu:///system")
    domain = connection.defineXML(document)
    domain.create()
    deadline = time.monotonic() + PATIENCE_SECONDS
    while not (serial.exists() and serial.stat().st_size):
        if time.monotonic() > deadline:
            domain.destroy()
            raise TimeoutError(f"the guest has not used its memory in {PATIENCE_SECONDS} s")
        time.sleep(0.1)
    return name


if __name__ == "__main__":
    begun = time.monotonic()
    started = start(Wanted(**json.load(sys.stdin)))
    json.dump({"uuid": started, "seconds": time.monotonic() - begun}, sys.stdout)
