# SPDX-License-Identifier: Apache-2.0
"""What an agent holds, and finds again after a restart."""

import json
import shutil
from collections.abc import Iterator

import fixtures
import hypothesis
from hypothesis import strategies

from kongming import objects
from kongming.agent.store import Held, NotStored, Store
from kongming.tests import base as tests_base
from kongming.tests.unit.agent.base import FULL, NOVA, OFF, VCPU_0, VNF, pin
from kongming.topology.placement import EMULATOR, Placement
from kongming.topology.wish import Wish

OTHER = Placement({EMULATOR: 1})


class StoreTest(tests_base.TestCase):
    def setUp(self) -> None:
        super().setUp()
        self.store = self.open()

    def open(self, host: str = "one") -> Store:
        return Store(str(self.directory / "lib" / "state"), host)

    def test_nothing_yet(self) -> None:
        self.assertEqual(([], None), (self.store.all(), self.store.get(VNF)))

    def test_survives_a_restart(self) -> None:
        self.store.replace(
            [
                pin(VNF, FULL, generation=3, in_force=OTHER),
                pin(NOVA, None, generation=2),
                pin(OFF, Placement(), generation=1),
            ]
        )
        self.store.carried_out(NOVA, 0, FULL, OTHER)
        self.store.carried_out(OFF, 0, None, Placement())
        held = [
            Held(VNF, 3, FULL, in_force=OTHER, given=None),
            Held(NOVA, 2, None, in_force=FULL, given=OTHER),
            Held(OFF, 1, Placement(), in_force=None, given=Placement()),
        ]
        for store in (self.store, self.open()):
            self.assertEqual(held, store.all())
            self.assertEqual(held[0], store.get(VNF))

    def test_wish_that_waits_for_room_survives_a_restart(self) -> None:
        held = Held(VNF, 0, None, wanted=Wish.from_dict({"vcpus": {"0": "4"}}))
        self.store.put(held)
        self.assertEqual([held], self.open().all())

    def test_every_change_is_on_disk_at_once(self) -> None:
        self.store.replace([pin()])
        self.assertEqual([Held(VNF, 1, FULL)], self.open().all())
        self.store.carried_out(VNF, 0, OTHER, None)
        self.assertEqual([Held(VNF, 1, FULL, OTHER)], self.open().all())
        self.store.replace([])
        self.assertEqual([], self.open().all())

    def test_hosts_have_files_of_their_own(self) -> None:
        self.store.replace([pin()])
        for host in ("two", "one.example.com", "one.json"):
            other = self.open(host)
            self.assertEqual([], other.all())
            other.replace([pin(NOVA)])
        self.assertEqual([VNF], [held.instance_uuid for held in self.open().all()])

    def test_replace_tells_what_is_new_or_changed(self) -> None:
        self.assertEqual([VNF, NOVA], self.store.replace([pin(VNF), pin(NOVA)]))
        self.assertEqual([], self.store.replace([pin(VNF), pin(NOVA)]))
        self.assertEqual([NOVA], self.store.replace([pin(VNF), pin(NOVA, generation=2)]))
        self.assertEqual([VNF], self.store.replace([pin(VNF, OTHER)]))
        self.assertEqual([VNF], self.store.replace([pin(VNF, None)]))

    def test_replace_keeps_what_this_agent_did(self) -> None:
        self.store.replace([pin(VNF, in_force=OTHER), pin(NOVA)])
        self.assertEqual(OTHER, self.held(VNF).in_force)
        self.store.carried_out(VNF, 0, FULL, OTHER)
        for late in (None, OTHER):
            self.store.replace([pin(VNF, generation=2, in_force=late), pin(NOVA)])
            self.assertEqual((2, FULL, OTHER), _done(self.held(VNF)))
        # also what it undid
        self.store.carried_out(VNF, 0, None, None)
        self.store.replace([pin(VNF, generation=3, in_force=FULL), pin(NOVA)])
        self.assertEqual((3, None, None), _done(self.held(VNF)))

    def test_what_it_did_before_the_instance_left_and_came_again_is_not_all(self) -> None:
        self.store.replace([pin(VNF, OTHER)])
        self.store.carried_out(VNF, 0, None, OTHER)
        brought = Placement({VCPU_0: 1 << 6})
        self.assertEqual([VNF], self.store.replace([pin(VNF, None, in_force=brought, arrival=1)]))
        self.assertEqual((1, brought, None), _done(self.held(VNF)))
        self.assertEqual([], self.store.replace([pin(VNF, None, in_force=brought, arrival=1)]))
        # the worker was about to carry out what it knew before
        self.store.carried_out(VNF, 0, OTHER, OTHER)
        self.assertEqual((1, brought.joined(OTHER), None), _done(self.held(VNF)))
        self.assertEqual(self.store.all(), self.open().all())
        self.store.carried_out(VNF, 1, None, None)
        self.assertEqual((1, None, None), _done(self.held(VNF)))
        # and had before
        self.store.carried_out(VNF, 1, OTHER, None)
        self.store.replace([pin(VNF, None, in_force=brought, arrival=2)])
        self.assertEqual((1, brought.joined(OTHER), None), _done(self.held(VNF)))

    def test_forgotten_with_its_pin(self) -> None:
        self.store.replace([pin(VNF)])
        self.store.carried_out(VNF, 0, FULL, OTHER)
        self.store.replace([])
        self.store.carried_out(VNF, 0, FULL, OTHER)
        self.assertEqual([], self.store.all())
        self.store.replace([pin(VNF)])
        self.assertEqual((1, None, None), _done(self.held(VNF)))

    def test_readers_never_see_half_of_a_change(self) -> None:
        self.store.replace([pin(VNF), pin(NOVA)])
        seen = []

        def pins() -> Iterator[objects.Pin]:
            yield pin(VNF, generation=2)
            seen.append([held.generation for held in self.store.all()])
            yield pin(NOVA, generation=2)
            seen.append([self.held(VNF).generation, self.held(NOVA).generation])

        self.store.replace(pins())
        self.assertEqual([[1, 1], [1, 1]], seen)
        self.assertEqual(2, self.held(NOVA).generation)

    def test_answer_that_breaks_off_changes_nothing(self) -> None:
        self.store.replace([pin(VNF)])

        def pins() -> Iterator[objects.Pin]:
            yield pin(NOVA)
            raise ZeroDivisionError

        self.assertRaises(ZeroDivisionError, self.store.replace, pins())
        self.assertEqual([Held(VNF, 1, FULL)], self.store.all())

    def test_what_cannot_be_written_is_not_held(self) -> None:
        self.store.replace([pin(VNF)])
        shutil.rmtree(self.directory / "lib" / "state")
        with self.assertRaisesRegex(NotStored, "state/placements-one.json: No such file"):
            self.store.replace([pin(VNF, generation=2), pin(NOVA)])
        self.assertRaises(NotStored, self.store.carried_out, VNF, 0, FULL, OTHER)
        self.assertEqual([Held(VNF, 1, FULL)], self.store.all())
        # so that it is still a change once the disk is back
        (self.directory / "lib" / "state").mkdir()
        self.assertEqual([VNF, NOVA], self.store.replace([pin(VNF, generation=2), pin(NOVA)]))

    def test_nothing_changed_is_not_written(self) -> None:
        self.store.replace([pin(VNF)])
        self.store.carried_out(VNF, 0, FULL, None)
        (file,) = (self.directory / "lib" / "state").iterdir()
        file.write_text("untouched")
        self.store.replace([pin(VNF)])
        self.store.carried_out(VNF, 0, FULL, None)
        self.assertEqual("untouched", file.read_text())

    def held(self, uuid: str) -> Held:
        held = self.store.get(uuid)
        assert held is not None
        return held


class DirectoryTest(tests_base.TestCase):
    def test_not_to_be_written_to(self) -> None:
        # root may everywhere
        with fixtures.MonkeyPatch("os.access", lambda *_, **__: False):
            error = self.assertRaises(PermissionError, Store, str(self.directory), "one")
        self.assertIn(str(self.directory), str(error))


class BrokenFileTest(tests_base.TestCase):
    """A file that nobody can read must not keep the agent from starting."""

    def setUp(self) -> None:
        super().setUp()
        store = Store(str(self.directory), "one")
        store.replace([pin(VNF), pin(NOVA, None, in_force=FULL)])
        (self.file,) = self.directory.iterdir()
        self.whole = self.file.read_bytes()

    def broken(self, content: bytes) -> bool:
        """Return whether a store takes the file for broken; it must work in any case."""
        self.file.write_bytes(content)
        store = Store(str(self.directory), "one")
        broken = not store.all()
        store.replace([pin(OFF)])
        self.assertEqual([Held(OFF, 1, FULL)], Store(str(self.directory), "one").all())
        return broken

    def test_torn(self) -> None:
        self.assertFalse(self.broken(self.whole))
        for length in range(0, len(self.whole), 7):
            self.assertTrue(self.broken(self.whole[:length]), length)
        self.assertIn("placements-one.json was unreadable", self.log.output)
        # nothing is lost to whoever wants to look
        kept = self.directory / "placements-one.broken"
        self.assertEqual(self.whole[:length], kept.read_bytes())

    def test_garbage(self) -> None:
        entry = json.loads(self.whole)[0]
        for content in (
            b"\0" * 4096,
            b"\xff\xfe",
            b"null",
            b"3",
            b'"text"',
            b"[null]",
            b"[[]]",
            b'{"instance_uuid": 1}',
            b"[" * 100000,
            json.dumps([{}]).encode(),
            json.dumps([entry | {"placement": "4"}]).encode(),
            json.dumps([entry | {"placement": []}]).encode(),
            json.dumps([entry | {"placement": {"vcpus": "4"}}]).encode(),
            json.dumps([entry | {"placement": {"vcpus": {"0": 4}}}]).encode(),
            json.dumps([entry | {"placement": {"vcpus": {"zero": "4"}}}]).encode(),
            json.dumps([entry | {"placement": {"memory": {}}}]).encode(),
            json.dumps([entry | {"placement": {"memory": None}}]).encode(),
            json.dumps([{key: value for key, value in entry.items() if key != "given"}]).encode(),
        ):
            self.assertTrue(self.broken(content), content[:60])

    @hypothesis.given(
        strategies.recursive(
            strategies.none() | strategies.integers() | strategies.text(max_size=3),
            lambda inner: (
                strategies.lists(inner, max_size=3)
                | strategies.dictionaries(
                    strategies.sampled_from(
                        ("vcpus", "iothreads", "emulator", "memory", "nodes", "0", "x")
                    ),
                    inner,
                    max_size=3,
                )
            ),
            max_leaves=6,
        )
    )
    def test_any_document_for_a_placement(self, document: object) -> None:
        entry = json.loads(self.whole)[0] | {"placement": document}
        self.file.write_text(json.dumps([entry]))
        Store(str(self.directory), "one")

    def test_leftover_of_a_crash_while_writing(self) -> None:
        for name in ("placements-one.new", "placements-one.json.new"):
            (self.directory / name).write_bytes(self.whole[:20])
        store = Store(str(self.directory), "one")
        self.assertEqual([VNF, NOVA], [held.instance_uuid for held in store.all()])
        store.replace([])
        self.assertEqual([], Store(str(self.directory), "one").all())


def _done(held: Held) -> tuple[int, Placement | None, Placement | None]:
    return held.generation, held.in_force, held.given
