"""Measures one gateway in the host where it runs: starts its processes, changes devices, and looks on.

Told of a file with a JSON object; prints one JSON object.
"""

from __future__ import annotations

import json
import os
import queue
import random
import signal
import statistics
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import httpx2

ROLES = Path(__file__).resolve().with_name("gateway_roles.py")
PATIENCE = 120.0
TICK = os.sysconf("SC_CLK_TCK")
PAUSE = 0.06
"""Seconds between two changes, at most, so that they meet looks at the peers at any moment of these."""


class Role:
    """A process with a part in it; ``start`` is how many seconds it took to be ready."""

    def __init__(self, name: str, task: dict[str, Any]) -> None:
        began = time.monotonic()
        told = {key: value for key, value in task.items() if key not in {"ids", "token"}}
        words = [sys.executable, str(ROLES), name, json.dumps(told)]
        self._process = subprocess.Popen(words, stdout=subprocess.PIPE, text=True)
        self.pid = self._process.pid
        self._said: queue.Queue[dict[str, Any]] = queue.Queue()
        threading.Thread(target=self._read, daemon=True).start()
        self.ready = self.wait("ready")
        self.start = self.ready["at"] - began

    def _read(self) -> None:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            self._said.put(json.loads(line))
        self._said.put({"what": "end"})

    def wait(self, what: str) -> dict[str, Any]:
        """Wait for something that it says."""
        while (said := self._said.get(timeout=PATIENCE))["what"] != what:
            self.looks += said["what"] == "observed"
            if said["what"] == "end":
                raise SystemExit("a process of the benchmark ended before its time")
        self.looks += what == "observed"
        return said

    looks = 0
    """How often it was heard to look at its peers."""

    def close(self) -> None:
        """End it."""
        self._process.send_signal(signal.SIGTERM)
        self._process.wait(PATIENCE)


def processes(roles: list[Role]) -> dict[int, str]:
    """Return the processes that belong to it, with what each is; an interface's engine has one of its own."""
    found = {role.pid: "python" for role in roles}
    here = Path("/proc/self/ns/net").readlink()
    for folder in Path("/proc").iterdir():
        if folder.name.isdecimal():
            try:
                if (
                    b"wirewright.tun" in (folder / "cmdline").read_bytes()
                    and (folder / "ns/net").readlink() == here
                ):
                    found[int(folder.name)] = "engine"
            except OSError:
                continue
    return found


def processor_time(members: dict[int, str]) -> float:
    """Return the seconds of processor time that they took, the kernel's for them included."""
    total = 0
    for pid in members:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        total += int(fields[11]) + int(fields[12])
    return total / TICK


def memory(members: dict[int, str], what: str) -> float:
    """Return the resident memory of the processes that are of a kind, in MiB."""
    total = 0
    for pid, kind in members.items():
        if kind == what:
            status = Path(f"/proc/{pid}/status").read_text()
            total += int(status.partition("VmRSS:")[2].split()[0])
    return round(total / 1024, 1)


@contextmanager
def started(task: dict[str, Any]) -> Iterator[list[Role]]:
    """Start the processes: the coordinator first, the one that has the gateway last."""
    with ExitStack() as stack:
        apart = task["apart"]
        roles = [Role("serve", task | {"way": None if apart else task["way"]})]
        stack.callback(roles[0].close)
        if apart:
            roles.append(Role("gateway", task | {"url": roles[0].ready["url"]}))
            stack.callback(roles[1].close)
        yield roles


def measure(task: dict[str, Any]) -> dict[str, Any]:
    """Measure one gateway."""
    with started(task) as roles:
        gateway = roles[-1]
        gateway.wait("observed")
        members = processes(roles)
        before = processor_time(members)
        look = gateway.wait("observed")["seconds"]
        per_look = processor_time(members) - before
        resident = {what: memory(members, what) for what in ("python", "engine")}
        before, looked = processor_time(members), gateway.looks
        answers, delays = changed(task, roles)
        spent = processor_time(members) - before - per_look * (gateway.looks - looked)
        return {
            "bench": "gateway",
            "devices": task["devices"],
            "database": task["database"].partition(":")[0],
            "coordinator": "over HTTP" if task["apart"] else "same process",
            "engine": task["way"],
            "start_s": round(gateway.start, 2),
            "changes": len(delays),
            "answer_p50_ms": rank(answers, 50),
            "applied_p50_ms": rank(delays, 50),
            "applied_p99_ms": rank(delays, 99),
            "applied_worst_ms": round(max(delays) * 1e3, 1),
            "cpu_ms_a_change": round(spent / len(delays) * 1e3, 1),
            "look_ms": round(look * 1e3, 1),
            "cpu_ms_a_look": round(per_look * 1e3),
            "python_mib": resident["python"],
            "engine_mib": resident["engine"],
        }


def changed(task: dict[str, Any], roles: list[Role]) -> tuple[list[float], list[float]]:
    """Change devices one by one; return the seconds to answers, and from there to the engine."""
    answers, delays = [], []
    choice = random.Random()
    headers = {"Authorization": f"Bearer {task['token']}"}
    with httpx2.Client(
        base_url=f"{roles[0].ready['url']}/api/v1", headers=headers, timeout=PATIENCE
    ) as client:
        for number in range(task["changes"] // 3):
            device = f"/devices/{choice.choice(task['ids'])}"
            rule = {
                "destinations": ["0.0.0.0/0"],
                "protocol": "tcp",
                "ports": [str(task["first_port"] + number)],
            }
            for method, path, body in (
                ("POST", f"{device}/disable", None),
                ("POST", f"{device}/enable", None),
                ("PATCH", device, {"policy": [rule]}),
            ):
                time.sleep(choice.uniform(0, PAUSE))
                began = time.monotonic()
                client.request(method, path, json=body).raise_for_status()
                answered = time.monotonic()
                applied = roles[-1].wait("applied")["at"]
                answers.append(answered - began)
                # The engine may have it before the answer is here.
                delays.append(max(0.0, applied - answered))
    return answers, delays


def rank(seconds: list[float], percent: int) -> float:
    """Return a percentile, in milliseconds."""
    return round(statistics.quantiles(seconds, n=100, method="inclusive")[percent - 1] * 1e3, 1)


if __name__ == "__main__":
    print(json.dumps(measure(json.loads(Path(sys.argv[1]).read_text()))), flush=True)
