"""SOCKS through a rootless tunnel, `ww proxy` beside wireproxy: same peer, same run, in turn.

Client and proxy are in one host of a lab, the peer (`wirewright-tun`) and the server in another, which takes
root. The cable between them is as it is, or has 50 ms there and back and loses 1 % of the packets each way.
Prints one JSON object a measurement, and the ratios of the medians. wireproxy is taken from PATH; without it
there is nothing to compare with, and what is measured is ours. `--contestants ww,wireproxy,cable` measures
the same load without proxy and tunnel as well, by the kernel's TCP. Beside each rate stands who used the
machine's processors: the proxy, the weather on the cable, the peer behind it, the server, the client,
others, nobody.
"""

from __future__ import annotations

import argparse
import json
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

from processors import Watch

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from tests.lab.nodes import Node  # noqa: E402 (the tests are no package that is installed)

from wirewright.keys import SecretKey  # noqa: E402
from wirewright.lab import Lab, Link, Machine, Topology, Weather, at  # noqa: E402

PORT = 9000
WEATHERS = {"clear": None, "50 ms, 1 % lost": Weather(delay=0.025, loss=0.01)}
DIRECTIONS = ("download", "upload")
STREAMS = (1, 100)
OURS, THEIRS, CABLE = "ww", "wireproxy", "cable"


@dataclass
class Contestant:
    """A proxy in host a, or none."""

    name: str
    address: str = ""
    port: int = 0

    def __post_init__(self) -> None:
        self.key = SecretKey.generate()

    def config(self, peer: str) -> str:
        """Return its configuration."""
        text = (
            f"[Interface]\nPrivateKey = {self.key.expose()}\nAddress = {self.address}/32\nMTU = 1420\n"
            f"[Peer]\nPublicKey = {peer}\nEndpoint = 192.0.2.2:51820\nAllowedIPs = 10.7.0.0/24\n"
        )
        return text if self.name == OURS else f"{text}[Socks5]\nBindAddress = 127.0.0.1:{self.port}\n"

    def command(self, path: Path) -> list[str]:
        """Return how to start it."""
        if self.name == OURS:
            ww = str(Path(sys.executable).with_name("ww"))
            return [ww, "proxy", str(path), "--socks5", str(self.port)]
        return [str(shutil.which("wireproxy")), "--silent", "--config", str(path)]


EVERYBODY = {
    OURS: Contestant(OURS, "10.7.0.11", 1080),
    THEIRS: Contestant(THEIRS, "10.7.0.12", 1081),
    CABLE: Contestant(CABLE),
}


def contestants(names: list[str]) -> list[Contestant]:
    """Return who of them is there."""
    if THEIRS in names and not shutil.which("wireproxy"):
        sys.stderr.write("wireproxy is not on PATH: there is nothing to compare with\n")
        names = [name for name in names if name != THEIRS]
    return [EVERYBODY[name] for name in names]


@dataclass
class Arena:
    """A lab with everything started: host a, and the processes whose work is told."""

    here: Machine
    processes: dict[str, int]


def main() -> None:
    """Measure."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=4.0)
    parser.add_argument("--weather", choices=WEATHERS, action="append")
    parser.add_argument("--direction", choices=DIRECTIONS, action="append")
    parser.add_argument("--streams", type=int, action="append")
    parser.add_argument("--contestants", default=f"{OURS},{THEIRS}", help=f"of {', '.join(EVERYBODY)}")
    options = parser.parse_args()
    names = options.contestants.split(",")
    if unknown := set(names) - set(EVERYBODY):
        parser.error(f"there is no contestant {', '.join(sorted(unknown))}: known are {', '.join(EVERYBODY)}")
    rivals = contestants(names)
    for weather in options.weather or WEATHERS:
        for direction in options.direction or DIRECTIONS:
            for streams in options.streams or STREAMS:
                load = {"weather": weather, "load": f"{direction}, {streams} streams"}
                rates: dict[str, list[float]] = {rival.name: [] for rival in rivals}
                for number in range(1, options.rounds + 1):
                    for rival in rivals:
                        # A lab of its own: what the one before still has to send would count as this one's.
                        with arena(WEATHERS[weather], rival) as place:
                            outcome = run(place, rival, direction, streams, options.seconds)
                        rates[rival.name].append(outcome["mbit_per_s"])
                        row = {"bench": "proxy", **load, "proxy": rival.name, "round": str(number)}
                        print(json.dumps(row | outcome), flush=True)
                print(json.dumps({"bench": "proxy, medians", **load, **summary(rates)}), flush=True)


def summary(rates: dict[str, list[float]]) -> dict[str, object]:
    """Return everybody's median, and the median of the rounds' ratios, with the lowest and the highest."""
    told: dict[str, object] = {f"{name}_mbit_per_s": statistics.median(rates[name]) for name in rates}
    if {OURS, THEIRS} <= rates.keys():
        ratios = [ours / theirs for ours, theirs in zip(rates[OURS], rates[THEIRS], strict=True)]
        told["ratio"] = round(statistics.median(ratios), 2)
        told["ratios"] = f"{min(ratios):.2f} to {max(ratios):.2f}"
    return told


@contextmanager
def arena(weather: Weather | None, rival: Contestant) -> Iterator[Arena]:
    """Build the lab, start the peer, its server and the proxy."""
    link = Link(at("a", "192.0.2.1/24"), at("b", "192.0.2.2/24"), weather=weather)
    with ExitStack() as stack:
        lab = stack.enter_context(Lab(Topology((link,))))
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        peer = Node(lab["b"], ("10.7.0.1",)).start()
        server = lab["b"].popen(
            sys.executable, str(ROOT / "bench/proxy_server.py"), str(PORT), stdout=subprocess.PIPE
        )
        assert server.stdout is not None
        server.stdout.readline()
        processes = {}
        if rival.port:
            peer.add(f"[Peer]\nPublicKey = {rival.key.public_key}\nAllowedIPs = {rival.address}/32\n")
            path = folder / f"{rival.name}.conf"
            path.touch(mode=0o600)
            path.write_text(rival.config(str(peer.public_key)))
            lab["a"].popen(*rival.command(path), stderr=subprocess.DEVNULL, stdout=subprocess.DEVNULL)
            until_listening(lab["a"], rival.port)
            processes["proxy"] = process_of(lab["a"], rival.name)
        processes["peer"] = process_of(lab["b"], "wirewright-tun")
        if lab.weather is not None:
            processes["weather"] = process_of(lab.weather, "wirewright.lab.weather")
        processes["server"] = process_of(lab["b"], "proxy_server.py")
        yield Arena(lab["a"], processes)


def until_listening(host: Machine, port: int) -> None:
    """Wait until somebody listens on a port of a host's loopback."""
    wanted = f":{port:04X} 00000000:0000 0A"
    for _ in range(1000):
        if wanted in host.run("cat", "/proc/net/tcp").stdout:
            return
        time.sleep(0.02)
    raise RuntimeError(f"nobody listens on port {port}")


def process_of(host: Machine, program: str) -> int:
    """Return the process of a program or a script, as it is numbered here."""
    for process in host.processes():
        words = Path(f"/proc/{process}/cmdline").read_bytes().decode().split("\0")
        if program in (Path(word).name for word in words if word) and not words[0].endswith("setpriv"):
            return process
    raise RuntimeError(f"{program} is not there")


def run(place: Arena, rival: Contestant, direction: str, streams: int, seconds: float) -> dict[str, float]:
    """Run one client; give the rate, the proxy's seconds a gigabyte, and who used how many processors."""
    proxy = "proxy" in place.processes
    task: dict[str, object] = {
        "proxy": ("127.0.0.1", rival.port) if proxy else None,
        "server": ("10.7.0.1" if proxy else "192.0.2.2", PORT),
        "counter": ("192.0.2.2", PORT + 1),
    }
    task |= {"direction": direction, "streams": streams, "seconds": seconds}
    watch = Watch(place.processes)
    client = [sys.executable, str(ROOT / "bench/proxy_client.py")]
    done = place.here.run(*client, input=json.dumps(task), timeout=120)
    shares = watch.shares()
    used = watch.seconds("proxy") if proxy else 0.0
    outcome = json.loads(done.stdout)
    return {
        "mbit_per_s": round(outcome["bytes_per_second"] * 8 / 1e6, 1),
        "cpu_s_per_gb": round(used / (outcome["bytes"] / 1e9), 2),
        **{f"{name}_processors": share for name, share in ({"proxy": 0.0} | shares).items()},
    }


if __name__ == "__main__":
    main()
