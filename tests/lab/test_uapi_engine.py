"""Our client of the UAPI before real engines: ours and the three others."""

from __future__ import annotations

import sys
from collections.abc import Iterator

import pytest

from tests.conftest import ROOT
from tests.lab.nodes import OURS, Node, answer, cable, inside
from tests.lab.others import OTHERS
from wirewright.lab import Lab, Machine

MODULE = "tests.lab.uapi_engine"


def ask(machine: Machine, test: str, *arguments: str) -> None:
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
    boringtun = "no private key", "one peer a request", "no peer changes"
    differences = boringtun if program == "boringtun-cli" else ()
    ask(node.machine, "test_every_setting_is_told_as_it_was_set", *differences)


# Of 500 peers boringtun tells nothing more, and gotatun mostly 256, to `wg` as to us.
@pytest.mark.parametrize(("peers", "networks"), [(1, 100_000), (100, 4)])
def test_many_are_read_as_they_were_set(node: Node, peers: int, networks: int) -> None:
    ask(node.machine, "test_many_are_read_as_they_were_set", str(peers), str(networks))


@pytest.mark.parametrize("program", ["ours", "wireguard-go"], indirect=True)
def test_single_allowed_ips_are_removed(node: Node) -> None:
    ask(node.machine, "test_single_allowed_ips_are_removed")


def test_what_is_refused_changes_nothing() -> None:
    with Lab(cable()) as lab:
        node = Node(lab["a"]).start()
        holder = inside(node.machine, "hold", "AF_INET", "0.0.0.0", "52000")
        ask(node.machine, "test_what_is_refused_changes_nothing")
        answer(holder)


def test_counters_are_told() -> None:
    with Lab(cable()) as lab:
        ask(Node(lab["a"]).start().machine, "test_counters_are_told")


def test_an_interface_is_made_found_and_deleted() -> None:
    with Lab(cable()) as lab:
        ask(lab["a"], "test_an_interface_is_made_found_and_deleted")
