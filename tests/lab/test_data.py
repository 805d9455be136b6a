"""What goes through a tunnel comes out as it went in, whatever is inside and outside."""

from __future__ import annotations

import itertools
import subprocess
import sys

import pytest

from tests.interop.relay import until
from tests.lab.nodes import INNER, INSIDE, OUTER, Node, answer, cable, inside, pair, peer_section, transfer
from wirewright.lab import Lab, Weather

BOTH = [
    pytest.param(inner, outer, id=f"IPv{inner} in IPv{outer}")
    for inner, outer in itertools.product((4, 6), (4, 6))
]
# Around every boundary: nothing, a block of padding, the interface's MTU, and what must be fragmented.
UDP_SIZES = (0, 1, 15, 16, 17, 512, 1371, 1372, 1373, 1392, 1393, 2000, 8192, 32768, 65507)


def inner_address(family: int, number: int = 1) -> str:
    return INNER[number][family == 6]


@pytest.mark.parametrize(("inner", "outer"), BOTH)
def test_pings_and_a_stream_pass(inner: int, outer: int) -> None:
    with Lab(cable()) as lab:
        a, _ = pair(lab, outer=outer)
        a.ping(inner_address(inner))
        transfer(lab["a"], lab["b"], inner_address(inner), 20_000_000)
        transfer(lab["b"], lab["a"], inner_address(inner, 0), 20_000_000)


@pytest.mark.parametrize(("inner", "outer"), BOTH)
def test_datagrams_of_every_size_come_back_whole(inner: int, outer: int) -> None:
    sizes = UDP_SIZES if inner == 4 else (*UDP_SIZES[:-1], 65487)
    with Lab(cable()) as lab:
        pair(lab, outer=outer)
        server = inside(lab["b"], "echo")
        lab["a"].run(sys.executable, INSIDE, "sizes", inner_address(inner), *map(str, sizes))
        server.kill()
        server.communicate()


@pytest.mark.parametrize("outer", [4, 6])
@pytest.mark.parametrize(
    ("family", "mtu"),
    [
        (4, 68),
        (4, 576),
        (4, 1280),
        (4, 1420),
        (4, 1421),
        (4, 4096),
        (4, 9000),
        (4, 65475),
        (6, 1280),
        (6, 1432),
        (6, 9000),
        (6, 65475),
    ],
)
def test_packets_of_the_interface_s_mtu_pass_and_longer_ones_do_not(
    family: int, mtu: int, outer: int
) -> None:
    with Lab(cable(mtu=65535)) as lab:
        inner = tuple(pair_of[family == 6] for pair_of in INNER)
        nodes = pair(lab, outer=outer, mtu=max(mtu, 1280))
        for node in nodes:
            # Below 1280 there is no IPv6.
            node.machine.run("ip", "link", "set", node.name, "mtu", str(mtu))
        nodes[0].ping(inner[1], size=0)
        header = 28 if family == 4 else 48
        fits = lab["a"].run("ping", "-n", "-M", "do", "-c1", "-w10", "-s", str(mtu - header), inner[1])
        assert "1 received" in fits.stdout
        over = lab["a"].run(
            "ping", "-n", "-M", "do", "-c1", "-W1", "-s", str(mtu - header + 1), inner[1], check=False
        )
        assert over.returncode != 0


@pytest.mark.parametrize("mtu", [576, 1280, 4096, 65475])
def test_streams_pass_at_any_mtu(mtu: int) -> None:
    with Lab(cable(mtu=65535 if mtu > 1500 else 1500)) as lab:
        a, _ = pair(lab, mtu=max(mtu, 1280))
        for host in "ab":
            lab[host].run("ip", "link", "set", "wg0", "mtu", str(mtu))
        a.ping("10.7.0.2")
        transfer(lab["a"], lab["b"], "10.7.0.2", 5_000_000)


def test_outer_datagrams_that_do_not_fit_the_cable_are_fragmented_and_arrive() -> None:
    with Lab(cable(mtu=1300)) as lab:
        a, _ = pair(lab, mtu=1420)
        a.ping("10.7.0.2", size=1392)
        transfer(lab["a"], lab["b"], "10.7.0.2", 2_000_000)


OFFLOADS = ("tun-tcp", "tun-udp", "udp-send", "udp-receive")


@pytest.mark.parametrize("without", [*((name,) for name in OFFLOADS), OFFLOADS], ids="+".join)
def test_data_are_the_same_without_an_offload_at_either_end(without: tuple[str, ...]) -> None:
    with Lab(cable()) as lab:
        ends = [Node(lab["a"], INNER[0], without=without).start(), Node(lab["b"], INNER[1]).start()]
        for node, peer, endpoint in zip(ends, ends[::-1], OUTER[4][::-1], strict=True):
            node.setconf(peer_section(peer, endpoint=endpoint))
        server = inside(lab["b"], "echo")
        lab["a"].run(sys.executable, INSIDE, "sizes", "10.7.0.2", *map(str, UDP_SIZES))
        server.kill()
        server.communicate()
        transfer(lab["a"], lab["b"], "10.7.0.2", 5_000_000)
        transfer(lab["b"], lab["a"], "fd07::1", 5_000_000)


@pytest.mark.parametrize("interface", ["wg0", "eth0"])
def test_a_stream_passes_where_the_kernel_makes_no_super_packets(interface: str) -> None:
    with Lab(cable()) as lab:
        pair(lab)
        for host in "ab":
            lab[host].run("ip", "link", "set", interface, "gso_max_segs", "1")
        transfer(lab["a"], lab["b"], "10.7.0.2", 10_000_000)


@pytest.mark.parametrize("without", [(), ("tun-tcp",)], ids=["as it is", "without offloads"])
@pytest.mark.parametrize("extension", ["hop-by-hop", "destination", "both"])
def test_a_stream_with_extension_headers_is_as_any_other(extension: str, without: tuple[str, ...]) -> None:
    with Lab(cable()) as lab:
        ends = [Node(lab["a"], INNER[0], without=without).start(), Node(lab["b"], INNER[1]).start()]
        for node, peer, endpoint in zip(ends, ends[::-1], OUTER[4][::-1], strict=True):
            node.setconf(peer_section(peer, endpoint=endpoint))
        transfer(lab["a"], lab["b"], inner_address(6), 5_000_000, extension)
        assert ends[0].counters()["malformed_packet"] == 0


def test_a_stream_survives_loss_and_reordering() -> None:
    with Lab(cable(weather=Weather(delay=0.005, jitter=0.001, loss=0.01))) as lab:
        a, _ = pair(lab)
        a.ping("10.7.0.2")
        transfer(lab["a"], lab["b"], "10.7.0.2", 3_000_000)


def test_many_streams_share_a_tunnel() -> None:
    with Lab(cable()) as lab:
        a, _ = pair(lab)
        a.ping("10.7.0.2")
        server = lab["b"].popen("iperf3", "-s", "-1", stdout=subprocess.DEVNULL)

        until(lambda: ":5201" in lab["b"].run("ss", "-tln").stdout, "iperf3 listens")
        lab["a"].run("iperf3", "-c", "10.7.0.2", "-P", "8", "-n", "2M", "--bidir")
        server.wait(20)


def test_explicit_congestion_marks_of_the_inner_packet_survive() -> None:
    with Lab(cable()) as lab:
        a, _ = pair(lab)
        a.ping("10.7.0.2")
        source = (
            "import socket\ns = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)\n"
            "s.setsockopt(socket.IPPROTO_IP, socket.IP_RECVTOS, 1)\ns.bind(('', 7000))\n"
            "print('ready', flush=True)\nprint(s.recvmsg(99, 99)[1][0][2][0])"
        )

        receiver = lab["b"].popen(sys.executable, "-c", source, stdout=subprocess.PIPE, text=True)
        assert receiver.stdout is not None
        assert receiver.stdout.readline() == "ready\n"
        lab["a"].python(
            "import socket\ns = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)\n"
            "s.setsockopt(socket.IPPROTO_IP, socket.IP_TOS, 0xBA)\ns.sendto(b'x', ('10.7.0.2', 7000))"
        )
        assert answer(receiver) == str(0xBA)
