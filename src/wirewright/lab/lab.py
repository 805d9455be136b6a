"""A lab: a topology brought into being, for as long as a ``with`` block lasts."""

import subprocess
import sys
from contextlib import ExitStack
from types import TracebackType
from typing import Self

from wirewright.lab.errors import LabError
from wirewright.lab.machine import TOOLS, Machine, entering, need
from wirewright.lab.topology import End, Host, Link, Nat, Rate, Topology, Weather

WEATHER = "weather"
"""The host, seen by nobody, in which weather happens."""


class Lab:
    """The hosts of a topology, by name: ``lab["router"].run("ip", "route")``.

    They are gone when the block ends, and when the process that made them does, whatever ends it.
    """

    def __init__(self, topology: Topology) -> None:
        """Prepare; nothing is made before the block begins."""
        self.topology = topology
        self.machines: dict[str, Machine] = {}
        self.weather: Machine | None = None
        """Where weather happens, if there is any."""
        self._stack = ExitStack()

    def __enter__(self) -> Self:
        """Build it."""
        topology = self.topology
        need(*TOOLS, *(["tc"] if any(link.rate for link in topology.links) else []))
        if any(host.nat for host in topology.all_hosts):
            need("nft")
        with ExitStack() as stack:
            for host in topology.all_hosts:
                self.machines[host.name] = self._machine(stack, host.name)
            if any(link.weather for link in topology.links):
                self.weather = self._machine(stack, WEATHER)
                _settings(self.weather, {"net.ipv6.conf.default.disable_ipv6": 1})
            for host in topology.all_hosts:
                _settings(self[host.name], _host_settings(host))
            for number, link in enumerate(topology.all_links):
                self._connect(stack, number, link)
            for host in topology.all_hosts:
                self._configure(host)
            # All that was made stays for the block.
            self._stack = stack.pop_all()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Take it down."""
        self.close()

    def close(self) -> None:
        """Take it down; again has no effect."""
        self._stack.close()

    def __getitem__(self, host: str) -> Machine:
        return self.machines[host]

    def __str__(self) -> str:
        return str(self.topology)

    def move(self, interface: str, source: str, target: str) -> None:
        """Move an interface from one host to another; its engine's sockets stay where they were opened."""
        holder = str(self[target].holder)
        _ip(self[source], f"link set dev {interface} netns {holder}")

    # How it is built.

    def _machine(self, stack: ExitStack, name: str) -> Machine:
        machine = Machine(name)
        stack.callback(machine.close)
        return machine

    def _connect(self, stack: ExitStack, number: int, link: Link) -> None:
        if link.weather is None:
            self._cable(link.left, self[link.right.host], link.right.interface, link.mtu)
        else:
            assert self.weather is not None
            ends = []
            for end, side in ((link.left, "l"), (link.right, "r")):
                inner = f"{side}{number}"
                ends.append(inner)
                self._cable(end, self.weather, inner, link.mtu)
                _ip(self.weather, f"link set {inner} up")
                # What gets lost is to be a packet, not a train of them.
                _ip(self[end.host], f"link set {end.interface} gso_max_segs 1")
            stack.callback(_stop, _start_weather(self.weather, ends[0], ends[1], link.weather))
        for end in (link.left, link.right):
            self._set_up(end, link)

    def _cable(self, end: End, other: Machine, interface: str, mtu: int) -> None:
        """Lay a cable from a host's interface to one of another machine."""
        here = self[end.host]
        _ip(
            here,
            f"link add {end.interface} mtu {mtu} type veth"
            f" peer name {interface} mtu {mtu} netns {other.holder}",
        )

    def _set_up(self, end: End, link: Link) -> None:
        addresses = (f"address add {address} dev {end.interface}" for address in end.addresses)
        _ip(self[end.host], *addresses, f"link set {end.interface} up")
        if link.rate is not None:
            self[end.host].run(*_shaping(end.interface, link.rate, link.mtu))

    def _configure(self, host: Host) -> None:
        if host.routes:
            _ip(self[host.name], *(f"route add {route.to} via {route.via}" for route in host.routes))
        if host.nat is not None:
            self[host.name].run("nft", "-f", "-", input=_masquerade(host.nat))
            _settings(
                self[host.name],
                {
                    "net.netfilter.nf_conntrack_udp_timeout": host.nat.udp_timeout,
                    "net.netfilter.nf_conntrack_udp_timeout_stream": host.nat.udp_stream_timeout,
                },
            )


def _host_settings(host: Host) -> dict[str, int | str]:
    settings: dict[str, int | str] = {
        # Nobody else is on a cable: addresses need not be asked for.
        "net.ipv6.conf.default.accept_dad": 0,
        "net.ipv6.conf.all.accept_dad": 0,
        # Anyone may ping.
        "net.ipv4.ping_group_range": "0 2147483647",
    }
    if host.forward:
        settings |= {"net.ipv4.ip_forward": 1, "net.ipv6.conf.all.forwarding": 1}
    return settings


def _settings(machine: Machine, settings: dict[str, int | str]) -> None:
    machine.run("sysctl", "-q", "-w", *(f"{name}={value}" for name, value in settings.items()))


def _ip(machine: Machine, *commands: str) -> None:
    """Run commands of ``ip``, outside the host's PID namespace: other hosts are named by their holders."""
    enter = [
        word for word in entering(machine.holder, ["ip", "-batch", "-"]) if not word.startswith("--pid=")
    ]
    done = subprocess.run(  # noqa: S603
        enter, input="\n".join(["link set lo up", *commands, ""]), capture_output=True, text=True, check=False
    )
    if done.returncode != 0:
        raise LabError(f"{machine.name}: ip {'; '.join(commands)}: {done.stderr.strip()}")


def _shaping(interface: str, rate: Rate, mtu: int) -> list[str]:
    # The bucket holds what passes in 2 ms, for timers are no finer, but at least two packets.
    burst = max(rate.bits // 8 // 500, 2 * (mtu + 18))
    shape = ["tbf", "rate", f"{rate.bits}bit", "burst", str(burst), "limit", str(max(rate.queue, burst))]
    return ["tc", "qdisc", "replace", "dev", interface, "root", *shape]


def _masquerade(nat: Nat) -> str:
    how = " random" if nat.random_ports else ""
    rule = f'oifname "{nat.outside}" masquerade{how}'
    hook = "type nat hook postrouting priority 100"
    return f"table inet lab {{\n chain out {{\n  {hook}\n  {rule}\n }}\n}}\n"


def _start_weather(machine: Machine, left: str, right: str, weather: Weather) -> "subprocess.Popen[bytes]":
    settings = {name: value for name, value in vars(weather).items() if value is not None}
    arguments = [left, right, *(f"{name}={value}" for name, value in settings.items())]
    process = machine.popen(
        sys.executable,
        "-m",
        "wirewright.lab.weather",
        *arguments,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        start_new_session=True,
    )
    assert process.stdout is not None
    if process.stdout.readline() != b"ready\n":
        process.kill()
        _, said = process.communicate()
        raise LabError(f"no weather between {left} and {right}: {said.decode(errors='replace').strip()}")
    return process


def _stop(process: "subprocess.Popen[bytes]") -> None:
    process.kill()
    for pipe in (process.stdin, process.stdout, process.stderr):
        if pipe is not None:
            pipe.close()
    process.wait()
