"""Our client of the UAPI before real engines: ours and the three others."""

from __future__ import annotations

import sys
from collections.abc import Iterator

import pytest

from tests.conftest import ROOT
from tests.lab.nodes import OURS, Node, cable
from tests.lab.others import OTHERS
from wirewright.lab import Lab, Machine

MODULE = "tests.lab.uapi_engine"


def inside(machine: Machine, test: str, *arguments: str) -> None:
    machine.run(sys.executable, "-m", MODULE, test, *arguments, env={"PYTHONPATH": str(ROOT)}, timeout=50)


@pytest.fixture(params=["ours", *(other.program for other in OTHERS)])
def program(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def node(program: str) -> Iterator[Node]:
    path = next((other.path for other in OTHERS if other.program == program), OURS)
    with Lab(cable()) as lab:
        node = Node(lab["a"], program=path)
        node.machine.run(*path.split(), node.name, env={"WG_SUDO": "true"})
        yield node


def test_every_setting_is_told_as_it_was_set(node: Node, program: str) -> None:
    inside(node.machine, "test_every_setting_is_told_as_it_was_set")


@pytest.mark.parametrize(("peers", "networks"), [(1, 100_000), (500, 4)])
def test_many_are_read_as_they_were_set(node: Node, peers: int, networks: int) -> None:
    inside(node.machine, "test_many_are_read_as_they_were_set", str(peers), str(networks))


def test_single_allowed_ips_are_removed(node: Node) -> None:
    inside(node.machine, "test_single_allowed_ips_are_removed")


@pytest.mark.parametrize(
    "test", ["test_what_is_refused_changes_nothing", "test_counters_are_told"]
)
def test_our_own(test: str) -> None:
    with Lab(cable()) as lab:
        holder = lab["a"].popen(sys.executable, "-c", "import time; time.sleep(60)")
        node = Node(lab["a"]).start()
        inside(node.machine, test)
        holder.kill()


def test_an_interface_is_made_found_and_deleted() -> None:
    with Lab(cable()) as lab:
        inside(lab["a"], "test_an_interface_is_made_found_and_deleted")
