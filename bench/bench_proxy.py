"""SOCKS through a rootless tunnel, `ww proxy` beside wireproxy: same peer, same run, in turn.

Client and proxy are in one host of a lab, the peer (`wirewright-tun`) and the server in another, which takes
root. The cable between them is as it is, or has 50 ms there and back and loses 1 % of the packets each way.
Prints one JSON object a measurement, and the ratios of the medians. wireproxy is taken from PATH; without it
there is nothing to compare with, and what is measured is ours.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from tests.lab.nodes import Node  # noqa: E402 (the tests are no package that is installed)

from wirewright.keys import SecretKey  # noqa: E402
from wirewright.lab import Lab, Link, Machine, Topology, Weather, at  # noqa: E402

PORT = 9000
WEATHERS = {"clear": None, "50 ms, 1 % lost": Weather(delay=0.025, loss=0.01)}
DIRECTIONS = ("download", "upload")
STREAMS = (1, 100)


@dataclass
class Contestant:
    """A proxy in host a."""

    name: str
    address: str
    port: int
    key: SecretKey

    def config(self, peer: str) -> str:
        """Return its configuration."""
        text = (
            f"[Interface]\nPrivateKey = {self.key.expose()}\nAddress = {self.address}/32\nMTU = 1420\n"
            f"[Peer]\nPublicKey = {peer}\nEndpoint = 192.0.2.2:51820\nAllowedIPs = 10.7.0.0/24\n"
        )
        return text if self.name == "ww" else f"{text}[Socks5]\nBindAddress = 127.0.0.1:{self.port}\n"

    def command(self, path: Path) -> list[str]:
        """Return how to start it."""
        if self.name == "ww":
            ww = str(Path(sys.executable).with_name("ww"))
            return [ww, "proxy", str(path), "--socks5", str(self.port)]
        return [str(shutil.which("wireproxy")), "--silent", "--config", str(path)]


def contestants() -> list[Contestant]:
    """Return who is there."""
    found = [Contestant("ww", "10.7.0.11", 1080, SecretKey.generate())]
    if shutil.which("wireproxy"):
        found.append(Contestant("wireproxy", "10.7.0.12", 1081, SecretKey.generate()))
    else:
        sys.stderr.write("wireproxy is not on PATH: there is nothing to compare with\n")
    return found


def main() -> None:
    """Measure."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=4.0)
    parser.add_argument("--weather", choices=WEATHERS, action="append")
    options = parser.parse_args()
    for weather in options.weather or WEATHERS:
        measure(weather, options.rounds, options.seconds)


def measure(weather: str, rounds: int, seconds: float) -> None:
    """Measure everybody under one weather."""
    rivals = contestants()
    with arena(WEATHERS[weather], rivals) as (here, started):
        for direction in DIRECTIONS:
            for streams in STREAMS:
                rates: dict[str, list[float]] = {rival.name: [] for rival in rivals}
                for number in range(1, rounds + 1):
                    for rival in rivals:
                        row = {
                            "bench": "proxy",
                            "weather": weather,
                            "load": f"{direction}, {streams} streams",
                        }
                        row |= {"proxy": rival.name, "round": str(number)}
                        outcome = run(here, rival, started[rival.name], direction, streams, seconds)
                        rates[rival.name].append(outcome["mbit_per_s"])
                        print(json.dumps(row | outcome), flush=True)
                medians = {name: statistics.median(values) for name, values in rates.items()}
                summary: dict[str, object] = {
                    "bench": "proxy, medians",
                    "weather": weather,
                    "load": f"{direction}, {streams} streams",
                }
                summary |= {f"{name}_mbit_per_s": value for name, value in medians.items()}
                if len(medians) == 2:
                    summary["ratio"] = round(medians["ww"] / medians["wireproxy"], 2)
                print(json.dumps(summary), flush=True)


@contextmanager
def arena(weather: Weather | None, rivals: list[Contestant]) -> Iterator[tuple[Machine, dict[str, int]]]:
    """Build the lab, start the peer, its server and the proxies; give host a and the proxies' processes."""
    link = Link(at("a", "192.0.2.1/24"), at("b", "192.0.2.2/24"), weather=weather)
    with ExitStack() as stack:
        lab = stack.enter_context(Lab(Topology((link,))))
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        peer = Node(lab["b"], ("10.7.0.1",)).start()
        for rival in rivals:
            peer.add(f"[Peer]\nPublicKey = {rival.key.public_key}\nAllowedIPs = {rival.address}/32\n")
        server = lab["b"].popen(
            sys.executable, str(ROOT / "bench/proxy_server.py"), str(PORT), stdout=subprocess.PIPE
        )
        assert server.stdout is not None
        stack.callback(server.kill)
        server.stdout.readline()
        started = {}
        for rival in rivals:
            path = folder / f"{rival.name}.conf"
            path.touch(mode=0o600)
            path.write_text(rival.config(str(peer.public_key)))
            process = lab["a"].popen(
                *rival.command(path), stderr=subprocess.DEVNULL, stdout=subprocess.DEVNULL
            )
            stack.callback(process.kill)
            until_listening(lab["a"], rival.port)
            started[rival.name] = process_of(lab["a"], rival)
        yield lab["a"], started


def until_listening(host: Machine, port: int) -> None:
    """Wait until somebody listens on a port of a host's loopback."""
    wanted = f":{port:04X} 00000000:0000 0A"
    for _ in range(1000):
        if wanted in host.run("cat", "/proc/net/tcp").stdout:
            return
        time.sleep(0.02)
    raise RuntimeError(f"nobody listens on port {port}")


def process_of(host: Machine, rival: Contestant) -> int:
    """Return the proxy's process, as it is numbered here."""
    name = "wireproxy" if rival.name == "wireproxy" else "proxy"
    for process in host.processes():
        words = Path(f"/proc/{process}/cmdline").read_bytes().split(b"\0")
        if any(word.rpartition(b"/")[2] == name.encode() for word in words):
            return process
    raise RuntimeError(f"{rival.name} is not there")


def run(  # noqa: PLR0917
    here: Machine, rival: Contestant, process: int, direction: str, streams: int, seconds: float
) -> dict[str, float]:
    """Run one client; give the rate, and the proxy's processor time a gigabyte."""
    task: dict[str, object] = {
        "proxy": ("127.0.0.1", rival.port),
        "server": ("10.7.0.1", PORT),
        "counter": ("192.0.2.2", PORT + 1),
    }
    task |= {"direction": direction, "streams": streams, "seconds": seconds}
    before = processor_time(process)
    client = [sys.executable, str(ROOT / "bench/proxy_client.py")]
    done = here.run(*client, input=json.dumps(task), timeout=120)
    used = processor_time(process) - before
    outcome = json.loads(done.stdout)
    return {
        "mbit_per_s": round(outcome["bytes_per_second"] * 8 / 1e6, 1),
        "cpu_s_per_gb": round(used / (outcome["bytes"] / 1e9), 2),
    }


def processor_time(process: int) -> float:
    """Return the seconds that a process has used."""
    fields = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


if __name__ == "__main__":
    main()
