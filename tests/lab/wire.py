"""What a host's kernel counts of WireGuard's messages as they come and go, whoever wrote them."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from wirewright.lab import Machine

# What is told apart, by what nft reads: the type and three zeros, behind the header of UDP.
KINDS = {
    "initiation": "@th,64,32 0x01000000",
    "response": "@th,64,32 0x02000000",
    "cookie reply": "@th,64,32 0x03000000",
    "data": "@th,64,32 0x04000000",
    "keepalive": "@th,64,32 0x04000000 udp length 40",
    # The last 16 of the 148 bytes of an initiation, or of the 92 of a response: whether there is a mac2.
    "initiation with a cookie": "@th,64,32 0x01000000 @th,1120,128 != 0",
    "response with a cookie": "@th,64,32 0x02000000 @th,672,128 != 0",
}
WAYS = {"in": ("input", "dport"), "out": ("output", "sport")}


class Wire:
    """Counts from its making on.

    A train of datagrams counts as one on its way out, so that data are best counted where they arrive.
    """

    def __init__(self, machine: Machine, port: int = 51820) -> None:
        self._machine, self._port = machine, port
        self._table = f"wire{port}"
        lines = [f"table inet {self._table} {{"]
        for way, (hook, at) in WAYS.items():
            lines += [f"counter {name(way, kind)} {{ }}" for kind in KINDS]
            lines.append(f"chain {way}coming {{ type filter hook {hook} priority 0;")
            lines += [
                f"udp {at} {port} {match} counter name {name(way, kind)}" for kind, match in KINDS.items()
            ]
            lines.append("}")
        # Where a test may refuse what comes.
        lines.append("chain refused { type filter hook input priority 1; }")
        machine.run("nft", "-f", "-", input="\n".join([*lines, "}", ""]))

    def came(self, kind: str) -> int:
        """How many of a kind came to our port."""
        return self._counts()[name("in", kind)]

    def went(self, kind: str) -> int:
        """How many of a kind left by our port."""
        return self._counts()[name("out", kind)]

    def refuse(self, *kinds: str) -> None:
        """Drop what comes of these kinds from now on; it is still counted."""
        for kind in kinds:
            rule = f"add rule inet {self._table} refused udp dport {self._port} {KINDS[kind]} drop"
            self._machine.run("nft", "-f", "-", input=rule + "\n")

    def admit(self) -> None:
        """Drop nothing any more."""
        self._machine.run("nft", "flush", "chain", "inet", self._table, "refused")

    def remove(self) -> None:
        """Count no more."""
        self._machine.run("nft", "delete", "table", "inet", self._table)

    def _counts(self) -> dict[str, int]:
        listed = json.loads(
            self._machine.run("nft", "-j", "list", "counters", "table", "inet", self._table).stdout
        )
        counters = [entry["counter"] for entry in listed["nftables"] if "counter" in entry]
        return {counter["name"]: counter["packets"] for counter in counters}


def name(way: str, kind: str) -> str:
    return f"{way} {kind}".replace(" ", "_")
