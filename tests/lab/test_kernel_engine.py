"""The engine of the kernel, in a virtual machine with the real one: our package runs inside."""

from __future__ import annotations

import json
import shlex
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from tests.conftest import ROOT
from tests.lab import kernel_commands, kernel_engine
from tests.lab.kernel import lab_with_guest

if TYPE_CHECKING:
    from wirewright.lab.guest import Guest

pytestmark = pytest.mark.timeout(300)

ORDERS, ANSWERS = "/run/orders", "/run/answers"


class Worker:
    """A process of ours in the guest, under its kernel."""

    def __init__(self, guest: Guest) -> None:
        self.guest = guest
        guest.run(f"mkfifo /share{ORDERS} /share{ANSWERS}")
        module = (sys.executable, "-m", "tests.lab.guest_worker", ORDERS, ANSWERS)
        command = shlex.join(("chroot", "/share", "env", f"PYTHONPATH={ROOT}", *module))
        guest.run(f"{command} >/share/run/said 2>&1 &")

    def call(self, function: Callable[..., object], *arguments: object, seconds: float = 240) -> Any:
        """Let it call a function of a module; raise what it raises."""
        order = shlex.quote(json.dumps([function.__module__, function.__name__, *arguments]))
        said = self.guest.run(f"echo {order} >/share{ORDERS}; cat /share{ANSWERS}", seconds)
        answer = json.loads(said)
        assert "failure" not in answer, answer["failure"]
        return answer["value"]


@pytest.fixture(scope="module")
def worker() -> Iterator[Worker]:
    with lab_with_guest(share=Path("/")) as (_, guest):
        yield Worker(guest)


def parameters_of(module: object) -> list[Any]:
    return [pytest.param(each, id=name) for name, each in vars(module).items() if name.startswith("test_")]


@pytest.mark.parametrize("function", parameters_of(kernel_engine))
def test_the_engine_of_the_kernel(worker: Worker, function: Callable[[], None]) -> None:
    worker.call(function)


@pytest.mark.parametrize("function", parameters_of(kernel_commands))
def test_the_commands_on_the_kernel_s_engine(worker: Worker, function: Callable[[], None]) -> None:
    worker.call(function)


@pytest.mark.timeout(1500)
@pytest.mark.parametrize("networks", [1000, pytest.param(10_000, marks=pytest.mark.slow)])
def test_commands_on_many_allowed_ips_do_what_those_of_wg_do(worker: Worker, networks: int) -> None:
    many = kernel_commands.many_are_set_up_told_changed_saved_and_taken_down
    worker.call(many, networks, seconds=1200)


@pytest.mark.parametrize(
    ("peers", "networks"),
    [
        (20, 3),
        (2, 1500),
        pytest.param(1, 10_000, marks=pytest.mark.slow),
        pytest.param(3000, 1, marks=pytest.mark.slow),
    ],
)
def test_we_and_wg_read_what_the_other_wrote(worker: Worker, peers: int, networks: int) -> None:
    seconds = worker.call(kernel_engine.compare_with_wg, peers, networks)
    assert {"we read", "we set"} < seconds.keys()
