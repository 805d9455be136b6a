"""Who would harm an interface from near: a guest, a client of its socket, a shortage."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from tests.lab.nodes import OURS, Node, cable, pair, pass_time, until
from tests.lab.test_errors import failing
from tests.lab.test_memory import MEBIBYTE, peak
from wirewright.lab import Lab

SOCKET = "/var/run/wireguard/wg0.sock"

# A device of a virtual machine, whose host forwards what it sends: a super-packet of one byte a segment.
GUEST = """
import fcntl, os, struct, subprocess, sys, time
tun = os.open("/dev/net/tun", os.O_RDWR)
fcntl.ioctl(tun, 0x400454CA, struct.pack("16sH22x", b"guest0", 0x5001))
for words in ("address add 10.99.0.1/24 dev guest0", "link set guest0 up"):
    subprocess.run(["ip", *words.split()], check=True)
subprocess.run(["sysctl", "-qw", "net.ipv4.ip_forward=1"], check=True)
size = int(sys.argv[2])
ip = bytearray(struct.pack("!BBHHHBBH4s4s", 0x45, 0, 65535, 1, 0x4000, 64, 6, 0,
                           bytes([10, 99, 0, 2]), bytes([10, 7, 0, 2])))
total = sum(struct.unpack("!10H", ip))
total = (total & 0xffff) + (total >> 16)
ip[10:12] = struct.pack("!H", ~(total + (total >> 16)) & 0xffff)
tcp = struct.pack("!HHIIBBHHH", 1, 2, 1, 1, 0x50, 0x10, 100, 0, 0)
virtio = struct.pack("=BBHHHH", 1, 1, 40, size, 20, 16)
for _ in range(int(sys.argv[1])):
    os.write(tun, virtio + ip + tcp + bytes(65495))
time.sleep(1)
"""


def switches(process: int) -> int:
    """Return how often its threads gave up or lost the processor."""
    states = [task.joinpath("status").read_text() for task in Path(f"/proc/{process}/task").iterdir()]
    return sum(int(line.split()[1]) for state in states for line in state.splitlines() if "ctxt" in line)


def test_a_guest_s_super_packet_of_tiny_segments_is_not_cut() -> None:
    with Lab(cable()) as lab:
        a, b = pair(lab)
        a.ping("10.7.0.2")
        before = peak(lab["a"], OURS)
        lab["a"].python(GUEST, "10", "1")
        assert peak(lab["a"], OURS) < before + 8 * MEBIBYTE
        # As small as TCP's may be, they are cut.
        cut = a.sent(b)
        lab["a"].python(GUEST, "1", "36")
        assert a.sent(b) > cut + 65_495
        a.ping("10.7.0.2")


@pytest.mark.parametrize("shards", [1, 4])
def test_interfaces_of_several_shards_do_not_share_a_port(shards: int) -> None:
    with Lab(cable()) as lab:
        a, b = pair(lab, shards=4)
        other = Node(lab["a"], ("10.8.0.1",), "wg1", port=51821, shards=shards).start()
        refused = lab["a"].run("wg", "set", "wg1", "listen-port", "51820", check=False)
        assert "Address already in use" in refused.stderr
        assert other.wg("show", "listen-port").strip() == "51821"
        a.ping("10.7.0.2")
        assert b.received(a) > 0


def test_without_descriptors_left_clients_wait_and_nothing_spins() -> None:
    with Lab(cable()) as lab:
        a, b = pair(lab)
        a.ping("10.7.0.2")
        (process,) = lab["a"].processes("wirewright-tun")
        with failing(lab["a"], "accept4", "EMFILE"):
            asking = lab["a"].popen("wg", "show", "wg0", stdout=subprocess.PIPE, text=True)
            pass_time(0.5)
            before = switches(process)
            pass_time(1)
            assert switches(process) - before < 100
            a.ping("10.7.0.2")
        said, _ = asking.communicate(timeout=10)
        assert str(b.public_key) in said


def test_a_shortage_of_memory_is_not_taken_for_a_socket_file_that_was_removed() -> None:
    with Lab(cable()) as lab:
        a, b = pair(lab)
        processes = lab["a"].processes("wirewright-tun")
        with failing(lab["a"], "statx", "ENOMEM"):
            assert str(b.public_key) in a.wg("show")
        assert lab["a"].processes("wirewright-tun") == processes
        a.ping("10.7.0.2")
        lab["a"].run("rm", SOCKET)
        until(a.is_gone, "it has ended")


def test_requests_in_a_row_take_no_more_memory_than_one() -> None:
    row = """
import socket, sys, time
with socket.socket(socket.AF_UNIX) as client:
    client.connect(sys.argv[1])
    client.sendall(b"get=1\\n\\n" * 9000)
    time.sleep(3)
"""
    with Lab(cable()) as lab:
        a, _ = pair(lab)
        a.add("".join(f"[Peer]\nPublicKey = {Node(a.machine).public_key}\n" for _ in range(200)))
        before = peak(lab["a"], OURS)
        lab["a"].python(row, SOCKET)
        assert peak(lab["a"], OURS) < before + 8 * MEBIBYTE


def test_a_lock_of_whoever_started_it_is_not_kept(tmp_path: Path) -> None:
    lock = tmp_path / "lock"
    with Lab(cable()) as lab:
        lab["a"].run("sh", "-c", 'exec 9>"$1"; flock 9; "$2" wg0', "sh", str(lock), OURS)
        assert lab["a"].processes("wirewright-tun")
        assert lab["a"].run("flock", "--nonblock", str(lock), "true", check=False).returncode == 0


def test_fragments_to_many_with_a_single_hop_pass() -> None:
    send = """
import socket
with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
    sock.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_IF, socket.inet_aton("10.7.0.1"))
    sock.sendto(bytes(3000), ("239.1.1.1", 5000))
"""
    with Lab(cable()) as lab:
        a, b = pair(lab)
        a.ping("10.7.0.2")
        a.wg("set", "peer", str(b.public_key), "allowed-ips", "10.7.0.2/32,224.0.0.0/4")
        lab["a"].run("ip", "route", "add", "224.0.0.0/4", "dev", "wg0")
        sent = a.sent(b)
        lab["a"].python(send)
        until(lambda: a.sent(b) > sent + 3000, "all fragments are sent")
        assert a.counters()["routing_loop"] == 0
