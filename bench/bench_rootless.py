"""A download through a rootless tunnel, beside wireguard-requests: same peer, same run, in turn.

The peer is wireguard-go with a server in its network namespace, so this needs root; the clients drop every
capability. Prints one JSON object a client and round, and the ratio of the medians.
"""

from __future__ import annotations

import json
import statistics
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from tests.interop.wireguard_go import WireGuardGo  # noqa: E402 (the tests are no package that is installed)

from wirewright.keys import SecretKey  # noqa: E402

UNPRIVILEGED = ["setpriv", "--bounding-set=-all", "--inh-caps=-all", "--no-new-privs"]
ROUNDS = 5
PORT = 9000
MEGABYTES = {"wirewright": 200, "wireguard-requests": 20}


def main() -> None:
    """Measure."""
    keys = {name: SecretKey.generate() for name in MEGABYTES}
    addresses = dict(zip(MEGABYTES, ("10.77.0.2", "10.77.0.3"), strict=True))
    peer = WireGuardGo(ROOT / ".cache/bin/wireguard-go", 1)
    peer.start()
    source = subprocess.Popen(
        [
            "nsenter",
            "--net",
            "--target",
            str(peer.inside.pid),
            sys.executable,
            str(ROOT / "bench/source.py"),
            str(PORT),
        ],
        stdout=subprocess.PIPE,
    )
    try:
        assert source.stdout is not None
        source.stdout.readline()
        for name, key in keys.items():
            peer.add_peer(key.public_key, addresses[name])
        rates: dict[str, list[float]] = {name: [] for name in MEGABYTES}
        for number in range(ROUNDS + 1):
            for name, key in keys.items():
                task = {
                    "client": name,
                    "private_key": key.expose(),
                    "address": addresses[name],
                    "peer_key": str(peer.public_key),
                    "endpoint": f"127.0.0.1:{peer.port}",
                    "server": [peer.addresses[0], PORT],
                    "bytes": MEGABYTES[name] * 1_000_000,
                }
                outcome = measure(task)
                rate = task["bytes"] * 8 / outcome["seconds"] / 1e6  # type: ignore[operator]
                # The first round warms up.
                if number:
                    rates[name].append(rate)
                    row = {
                        "bench": "rootless download",
                        "client": name,
                        "round": number,
                        "mbit_per_s": round(rate, 1),
                    }
                    row["cpu_s_per_gb"] = round(outcome["cpu"] / (MEGABYTES[name] / 1000), 2)
                    print(json.dumps(row), flush=True)
        ours, theirs = (statistics.median(values) for values in rates.values())
        summary = {"bench": "rootless download, medians", "wirewright_mbit_per_s": round(ours, 1)}
        summary |= {"wireguard_requests_mbit_per_s": round(theirs, 1), "ratio": round(ours / theirs, 1)}
        print(json.dumps(summary))
    finally:
        source.kill()
        source.wait()
        peer.close()


def measure(task: dict[str, object]) -> dict[str, float]:
    """Run one client in a process without capabilities; its key goes through a pipe."""
    command = [*UNPRIVILEGED, sys.executable, str(ROOT / "bench/rootless_client.py")]
    done = subprocess.run(
        command, input=json.dumps(task), stdout=subprocess.PIPE, text=True, check=True, timeout=120
    )
    outcome: dict[str, float] = json.loads(done.stdout)
    return outcome


if __name__ == "__main__":
    main()
