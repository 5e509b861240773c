# SPDX-License-Identifier: Apache-2.0
"""libvirt's capabilities as the model of a host."""

from collections.abc import Iterable

from kongming.tests import base
from kongming.topology import capabilities, cpuset
from kongming.topology.host import Core, Pages


def cpu(number: int, socket: int = 0, core: int = 0, siblings: str = "", die: str = "0") -> str:
    die = f" die_id='{die}'" if die else ""
    siblings = siblings or str(number)
    return (
        f"<cpu id='{number}' socket_id='{socket}'{die} cluster_id='0' core_id='{core}'"
        f" siblings='{siblings}'/>"
    )


def cell(
    number: int,
    cpus: Iterable[str],
    memory_kib: int = 4194304,
    pages: str = "",
    distances: str = "",
) -> str:
    cpus = list(cpus)
    return f"""
        <cell id='{number}'>
          <memory unit='KiB'>{memory_kib}</memory>
          {pages}
          <distances>{distances}</distances>
          <cpus num='{len(cpus)}'>{"".join(cpus)}</cpus>
        </cell>"""


def document(cells: Iterable[str]) -> str:
    cells = list(cells)
    return f"""
<capabilities>
  <host>
    <uuid>4c4c4544-0050-4810-8033-b4c04f4d3232</uuid>
    <cpu>
      <arch>x86_64</arch>
      <model>Cascadelake-Server-noTSX</model>
      <topology sockets='1' dies='1' clusters='1' cores='4' threads='2'/>
      <pages unit='KiB' size='4'/>
      <pages unit='KiB' size='2048'/>
    </cpu>
    <iommu support='no'/>
    <topology>
      <cells num='{len(cells)}'>{"".join(cells)}
      </cells>
    </topology>
    <cache>
      <bank id='0' level='3' type='both' size='16' unit='MiB' cpus='0-7'/>
    </cache>
  </host>
  <guest>
    <os_type>hvm</os_type>
    <arch name='x86_64'><wordsize>64</wordsize></arch>
  </guest>
</capabilities>
"""


#: 4 NUMA nodes of 4 cores of 2 threads, thread t of a core c is pCPU c + 16 t.
SMT = document(
    cell(
        node,
        (
            cpu(core + 16 * thread, node // 2, core % 8, f"{core},{core + 16}")
            for thread in range(2)
            for core in range(4 * node, 4 * node + 4)
        ),
        pages="<pages unit='KiB' size='4'>917504</pages><pages unit='KiB' size='2048'>256</pages>",
        distances="".join(
            f"<sibling id='{other}' value='{10 if other == node else 21}'/>" for other in range(4)
        ),
    )
    for node in range(4)
)


class ParseTest(base.TestCase):
    def test_four_nodes_with_smt(self) -> None:
        host = capabilities.parse(SMT)
        self.assertEqual([0, 1, 2, 3], [node.id for node in host.nodes])
        self.assertEqual(
            ["0-3,16-19", "4-7,20-23", "8-11,24-27", "12-15,28-31"],
            [cpuset.to_text(node.cpus) for node in host.nodes],
        )
        self.assertEqual([4096] * 4, [node.memory_mib for node in host.nodes])
        self.assertEqual({0: 21, 1: 21, 2: 10, 3: 21}, host.nodes[2].distances)
        self.assertEqual(
            tuple(Core(0, 0, core, cpuset.parse(f"{core},{core + 16}")) for core in (4, 5, 6, 7)),
            host.nodes[1].cores,
        )
        self.assertEqual(1, host.nodes[2].cores[0].socket)
        self.assertEqual(0, host.offline)

    def test_free_pages_come_from_elsewhere(self) -> None:
        host = capabilities.parse(SMT, free_pages={0: {4: 1000, 2048: 7}, 3: {2048: 9}})
        self.assertEqual((Pages(4, 917504, 1000), Pages(2048, 256, 7)), host.nodes[0].pages)
        self.assertEqual((Pages(4, 917504, 0), Pages(2048, 256, 0)), host.nodes[1].pages)
        self.assertEqual((Pages(4, 917504, 0), Pages(2048, 256, 9)), host.nodes[3].pages)

    def test_offline_pcpus_are_in_no_node_and_core(self) -> None:
        # libvirt lists an offline pCPU by its id alone, and with it no topology
        text = document(
            [
                cell(
                    0,
                    [
                        cpu(0, core=0, siblings="0,2"),
                        cpu(1, core=1, siblings="1"),
                        cpu(2, core=0, siblings="0,2"),
                        "<cpu id='3'/>",
                    ],
                )
            ]
        )
        host = capabilities.parse(text, offline=0b1000)
        self.assertEqual((0b0111, 0b1000), (host.online, host.offline))
        self.assertEqual((Core(0, 0, 0, 0b101), Core(0, 0, 1, 0b010)), host.nodes[0].cores)

    def test_offline_wins_over_the_document(self) -> None:
        # capabilities may be older than what is asked for online pCPUs
        host = capabilities.parse(SMT, offline=1 << 16 | 1 << 5 | 1 << 21)
        self.assertEqual("0-3,17-19", cpuset.to_text(host.nodes[0].cpus))
        self.assertEqual(Core(0, 0, 0, 1), host.nodes[0].cores[0])
        self.assertEqual([4, 6, 7], [core.core for core in host.nodes[1].cores])

    def test_node_with_memory_alone(self) -> None:
        text = document([cell(0, [cpu(0)]), cell(2, [], memory_kib=8388608)])
        host = capabilities.parse(text)
        self.assertEqual((2, 0, 8192, ()), _facts(host.nodes[1]))
        self.assertEqual((0b1, 0b101), (host.online, host.node_ids))

    def test_node_with_pcpus_alone(self) -> None:
        without_memory = f"<cell id='1'><cpus num='1'>{cpu(1)}</cpus></cell>"
        text = document([cell(0, [cpu(0)]), without_memory])
        self.assertEqual((1, 0b10, 0), _facts(capabilities.parse(text).nodes[1])[:3])

    def test_dies_and_sockets_tell_cores_apart(self) -> None:
        text = document(
            [
                cell(
                    0,
                    [
                        cpu(0, socket=1, die="0", core=3),
                        cpu(1, socket=0, die="1", core=3),
                        cpu(2, socket=0, die="0", core=3),
                    ],
                )
            ]
        )
        self.assertEqual(
            (Core(0, 0, 3, 0b100), Core(0, 1, 3, 0b010), Core(1, 0, 3, 0b001)),
            capabilities.parse(text).nodes[0].cores,
        )

    def test_libvirt_before_dies(self) -> None:
        text = document([cell(0, [cpu(0, die="", core=5)])])
        self.assertEqual((Core(0, 0, 5, 1),), capabilities.parse(text).nodes[0].cores)

    def test_what_was_read_travels(self) -> None:
        host = capabilities.parse(SMT, offline=1 << 31)
        self.assertEqual(host, type(host).from_dict(host.to_dict()))

    def test_malformed(self) -> None:
        no_nodes = "the capabilities list no NUMA node"
        for text, reason in (
            ("", "MarkupError"),
            ("<capabilities>", "MarkupError"),
            ("not XML", "MarkupError"),
            ("<domain/>", no_nodes),
            ("<capabilities/>", no_nodes),
            (document([]), no_nodes),
            (document(["<cell/>"]), "KeyError('id')"),
            (document(["<cell id='first'/>"]), "ValueError"),
            (document([cell(0, ["<cpu siblings='0'/>"])]), "KeyError('id')"),
            (document([cell(0, ["<cpu id='0' siblings='0'/>"])]), "KeyError('socket_id')"),
            (document([cell(0, ["<cpu id='-1' siblings='0'/>"])]), "ValueError"),
            (document([cell(0, ["<cpu id='9999999999' siblings='0'/>"])]), "from 0 to 8191"),
            (document([cell(9999999999, [])]), "from 0 to 8191"),
            (document([cell(0, [cpu(0, siblings="0..3")])]), "CpuSetError"),
            (document([cell(0, [], pages="<pages>1</pages>")]), "KeyError('size')"),
            (document([cell(0, [], pages="<pages size='4'>many</pages>")]), "ValueError"),
            (document([cell(0, [], distances="<sibling id='0'/>")]), "KeyError('value')"),
            (SMT.replace("<memory unit='KiB'>4194304<", "<memory unit='KiB'>much<"), "ValueError"),
        ):
            error = self.assertRaises(capabilities.CapabilitiesError, capabilities.parse, text)
            self.assertIn(reason, str(error), text)


def _facts(node: object) -> tuple[object, ...]:
    return tuple(getattr(node, name) for name in ("id", "cpus", "memory_mib", "cores"))
