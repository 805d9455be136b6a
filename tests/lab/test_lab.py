"""The lab itself: what a topology promises is measured, and nothing is left of it."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.interop.relay import until
from tests.lab.nodes import answer, cable, inside
from wirewright.lab import (
    Host,
    Lab,
    Link,
    Machine,
    Nat,
    Rate,
    Route,
    RunError,
    Topology,
    Weather,
    at,
)


def round_trips(machine: Machine, address: str, count: int = 20) -> list[float]:
    """Milliseconds of the pings that were answered."""
    said = machine.run("ping", "-n", "-c", str(count), "-i", "0.05", "-W", "2", address, check=False).stdout
    return [float(found) for found in re.findall(r"time=([\d.]+) ms", said)]


def goodput(source: Machine, target: Machine, address: str, *words: str) -> float:
    """Bits a second of TCP, as iperf3 measures them."""
    server = target.popen("iperf3", "-s", "-1", "-J", "--forceflush", stdout=subprocess.PIPE)
    until(lambda: ":5201" in target.run("ss", "-tln").stdout, "iperf3 listens")
    report = json.loads(source.run("iperf3", "-J", "-c", address, *words).stdout)
    server.communicate(timeout=20)
    return float(report["end"]["sum_received"]["bits_per_second"])


def test_hosts_have_their_addresses_and_mtu_and_reach_each_other() -> None:
    with Lab(cable(mtu=1400)) as lab:
        lab["a"].run("ping", "-c1", "-W5", "192.0.2.2")
        lab["b"].run("ping", "-c1", "-W5", "fd00::1")
        link = json.loads(lab["a"].run("ip", "-j", "address", "show", "eth0").stdout)[0]
        assert link["mtu"] == 1400
        assert {"192.0.2.1", "fd00::1"} <= {address["local"] for address in link["addr_info"]}


def test_what_was_started_in_a_host_is_ended_with_it_whoever_failed_to() -> None:
    with Lab(cable()) as lab:
        pipe = subprocess.PIPE
        process = lab["a"].popen("cat", stdin=pipe, stdout=pipe, stderr=pipe)
        ended = lab["a"].popen("true", stdout=pipe)
        assert ended.wait(20) == 0
    assert process.returncode == -signal.SIGKILL
    for stream in (process.stdin, process.stdout, process.stderr, ended.stdout):
        assert stream is not None
        assert stream.closed


def test_hosts_do_not_see_each_other_s_processes_or_sockets() -> None:
    with Lab(cable()) as lab:
        sleeper = lab["a"].popen("sleep", "1000")
        until(lambda: bool(lab["a"].processes("sleep")), "it runs")
        assert lab["b"].processes() == []
        lab["a"].run("touch", "/var/run/wireguard/x.sock")
        assert lab["b"].run("ls", "/var/run/wireguard").stdout == ""
        assert not Path("/var/run/wireguard/x.sock").exists()
        assert lab["a"].kill("sleep") == 1
        assert sleeper.wait(10) != 0


def test_a_failed_command_says_where_what_and_why() -> None:
    with Lab(cable()) as lab:
        with pytest.raises(RunError, match=r"a: ip link show nothing: exit status 1\n.*does not exist"):
            lab["a"].run("ip", "link", "show", "nothing")
        with pytest.raises(RunError, match=r"not done after 0\.2 s"):
            lab["a"].run("sleep", "1000", timeout=0.2)
        until(lambda: not lab["a"].processes(), "what took too long is gone")
        assert lab["b"].python("import sys; print(sys.argv[1])", "hello").stdout == "hello\n"


def test_a_rate_holds() -> None:
    with Lab(cable(rate=Rate(20_000_000))) as lab:
        rate = goodput(lab["a"], lab["b"], "192.0.2.2", "-t", "2")
    # A busy machine may take from it.
    assert 10e6 < rate < 20.5e6


def test_a_router_forwards_and_a_nat_hides_who_is_behind_it() -> None:
    topology = Topology(
        (
            Link(at("home", "10.1.0.2/24"), at("router", "10.1.0.1/24")),
            Link(at("router", "203.0.113.1/24"), at("server", "203.0.113.9/24")),
        ),
        (
            Host("home", routes=(Route("default", "10.1.0.1"),)),
            Host("router", forward=True, nat=Nat("eth1", udp_timeout=7)),
        ),
    )
    with Lab(topology) as lab:
        source = (
            "import socket\ns = socket.create_server(('', 80))\n"
            "print('ready', flush=True)\nprint(s.accept()[1][0])"
        )
        server = lab["server"].popen(sys.executable, "-c", source, stdout=subprocess.PIPE, text=True)
        assert server.stdout is not None
        assert server.stdout.readline() == "ready\n"
        lab["home"].python("import socket; socket.create_connection(('203.0.113.9', 80), timeout=20)")
        assert answer(server) == "203.0.113.1"
        timeout = lab["router"].run("sysctl", "-n", "net.netfilter.nf_conntrack_udp_timeout").stdout
        assert int(timeout) == 7


def test_delay_is_added_each_way() -> None:
    with Lab(cable(weather=Weather(delay=0.05))) as lab:
        times = round_trips(lab["a"], "192.0.2.2")
    assert len(times) == 20
    # A busy machine adds to it, and takes nothing away.
    assert 100 <= min(times) < 130


def test_loss_is_of_packets_and_as_much_as_was_asked_for() -> None:
    with Lab(cable(weather=Weather(loss=0.2, seed=3))) as lab:
        said = (
            lab["a"].run("ping", "-n", "-q", "-f", "-c", "1000", "-W", "1", "192.0.2.2", check=False).stdout
        )
    found = re.search(r"(\d+) received", said)
    assert found is not None, said
    # 0.8² of a thousand with five standard deviations of 15.
    assert 560 < int(found[1]) < 720


def test_weather_loses_packets_not_trains_of_them() -> None:
    with Lab(cable(weather=Weather(loss=0.01))) as lab:
        lengths = (
            "import socket\ns = socket.socket(socket.AF_PACKET, socket.SOCK_DGRAM, 0x0008)\n"
            "print('ready', flush=True)\nprint(max(len(s.recv(1 << 17)) for _ in range(200)))"
        )
        watcher = lab["b"].popen(sys.executable, "-c", lengths, stdout=subprocess.PIPE, text=True)
        assert watcher.stdout is not None
        assert watcher.stdout.readline() == "ready\n"
        goodput(lab["a"], lab["b"], "192.0.2.2", "-n", "4M")
        assert int(answer(watcher)) <= 1500


def test_jitter_lets_packets_overtake() -> None:
    with Lab(cable(weather=Weather(jitter=0.05))) as lab:
        said = lab["a"].run("ping", "-n", "-c", "40", "-i", "0.002", "-W", "2", "192.0.2.2").stdout
    order = [int(found) for found in re.findall(r"icmp_seq=(\d+)", said)]
    assert len(order) == 40
    assert order != sorted(order)


def test_a_black_hole_swallows_long_packets_without_a_word() -> None:
    with Lab(cable(weather=Weather(largest=1300))) as lab:
        lab["a"].run("ping", "-c1", "-W5", "-s", "1272", "192.0.2.2")
        said = lab["a"].run("ping", "-c3", "-i", "0.1", "-W", "1", "-s", "1273", "192.0.2.2", check=False)
        assert said.returncode == 1
        assert "Frag" not in said.stdout


# The end of a lab.


def alive(process: int) -> bool:
    """Whether a process is there, and not only waits to be reaped."""
    try:
        return Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
    except OSError:
        return False


def test_nothing_is_left_after_an_exception() -> None:
    processes: list[int] = []

    def fail() -> None:
        with Lab(cable(weather=Weather(delay=0.01))) as lab:
            lab["a"].run("setsid", "-f", "sh", "-c", "exec sleep 1000 >/dev/null 2>&1")
            until(lambda: bool(lab["a"].processes("sleep")), "it runs")
            processes.extend([lab["a"].holder, lab["b"].holder, *lab["a"].processes()])
            assert all(map(alive, processes))
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        fail()
    assert len(processes) == 3
    until(lambda: not any(map(alive, processes)), "all have ended")


def test_nothing_is_left_of_a_lab_that_could_not_be_built() -> None:
    before = set(Path("/proc").glob("[0-9]*"))
    topology = Topology(
        (Link(at("a", "10.0.0.1/24"), at("b")),), (Host("b", routes=(Route("default", "10.9.9.9"),)),)
    )
    with pytest.raises(Exception, match=r"b: ip route add default via 10\.9\.9\.9"), Lab(topology):
        pass
    ours = [path for path in set(Path("/proc").glob("[0-9]*")) - before if parent_of(path) == os.getpid()]
    assert ours == []


def parent_of(process: Path) -> int:
    try:
        return int(process.joinpath("stat").read_text().rpartition(")")[2].split()[1])
    except OSError:
        return 0


MAKER = """
import sys, time
from tests.interop.relay import until
from tests.lab.nodes import cable
from wirewright.lab import Lab, Weather
with Lab(cable(weather=Weather(delay=0.01))) as lab:
    lab["a"].run("setsid", "-f", "sh", "-c", "exec sleep 1000 >/dev/null 2>&1")
    until(lambda: lab["a"].processes("sleep"), "it runs")
    print(lab["a"].holder, lab["b"].holder, *lab["a"].processes(), flush=True)
    time.sleep(1000)
"""


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM, signal.SIGINT])
def test_nothing_is_left_when_the_maker_is_ended(number: signal.Signals, root: Path) -> None:
    maker = subprocess.Popen(
        # Whoever runs tests in the background may have them ignore interrupts.
        ["env", "--default-signal=INT", sys.executable, "-c", MAKER],
        cwd=root,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )
    assert maker.stdout is not None
    processes = list(map(int, maker.stdout.readline().split()))
    assert len(processes) == 3
    assert all(map(alive, processes))
    maker.send_signal(number)
    assert maker.wait(20) != 0
    maker.stdout.close()
    until(lambda: not any(map(alive, processes)), "all have ended")


def test_two_labs_of_the_same_topology_do_not_meet() -> None:
    with Lab(cable()) as one, Lab(cable()) as other:
        server = inside(one["b"], "sink")
        refused = other["a"].python(
            "import socket\ntry: socket.create_connection(('192.0.2.2', 7000), 5)\n"
            "except OSError as error: print(error.errno)"
        )
        assert refused.stdout == "111\n"
        server.kill()
        server.communicate()


# The command.

EXAMPLE = Path(__file__).parents[2] / "docs" / "examples" / "home.toml"


def ww(*words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "wirewright", "lab", *words],
        capture_output=True,
        text=True,
        timeout=50,
        check=False,
    )


def test_a_command_runs_in_a_lab_of_its_own_and_gives_its_exit_status(tmp_path: Path) -> None:
    path = tmp_path / "once.toml"
    path.write_text(EXAMPLE.read_text())
    done = ww("run", str(path), "home", "--", "ping", "-c1", "-W5", "203.0.113.9")
    assert (done.returncode, done.stderr) == (0, "")
    assert "1 received" in done.stdout
    assert ww("run", str(path), "home", "--", "sh", "-c", "exit 7").returncode == 7
    wrong = ww("run", str(path), "nowhere", "--", "true")
    assert wrong.returncode == 1
    assert "no host nowhere; there are" in wrong.stderr


def test_a_lab_stays_up_until_it_is_taken_down(tmp_path: Path) -> None:
    # Other tests may run beside this one: the name is its own.
    path = tmp_path / f"kept{os.getpid()}.toml"
    path.write_text(EXAMPLE.read_text())
    up = ww("up", str(path))
    try:
        assert (up.returncode, up.stderr) == (0, "")
        assert "│ home" in up.stdout
        assert f"{path.stem}\t{path}" in ww("list").stdout
        again = ww("up", str(path))
        assert again.returncode == 1
        assert "is up already" in again.stderr
        assert ww("run", str(path), "server", "touch", "/var/run/wireguard/here").returncode == 0
        assert ww("run", str(path), "server", "ls", "/var/run/wireguard").stdout == "here\n"
    finally:
        down = ww("down", path.stem)
    assert (down.returncode, down.stderr) == (0, "")
    listed = json.loads(ww("list", "--json").stdout)
    assert path.stem not in {lab["name"] for lab in listed["labs"]}
    assert ww("down", path.stem).returncode == 1


def test_a_topology_that_is_wrong_is_told_so(tmp_path: Path) -> None:
    path = tmp_path / "wrong.toml"
    path.write_text('[[links]]\nleft = { host = "a" }\n')
    for command in (("up", str(path)), ("run", str(path), "a", "true")):
        done = ww(*command)
        assert (done.returncode, done.stdout) == (1, "")
        assert done.stderr == f"ww: {path}: links[0] has no right\n"


def test_a_topology_that_is_not_there_is_told_in_the_same_words(tmp_path: Path) -> None:
    path = tmp_path / "nowhere.toml"
    for command in (("up", str(path)), ("run", str(path), "a", "true")):
        done = ww(*command)
        assert (done.returncode, done.stdout) == (1, "")
        assert done.stderr == f"ww: {path}: No such file or directory\n"
