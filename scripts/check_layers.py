"""Hold the house of crates: who may depend on whom, who may use `unsafe`, who may call the system.

    python -> linux, netstack -> runtime, offload, engine -> protocol -> aead
    python -> config

Time, randomness and bytes are arguments of every crate but those that own sockets and clocks; a crate that
reads a clock or opens a socket behind its caller's back cannot be driven in virtual time.
"""

from __future__ import annotations

import json
import re
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rust_source import without_tests_and_comments

ROOT = Path(__file__).resolve().parent.parent
PREFIX = "wirewright-"


@dataclass(frozen=True)
class Rule:
    """What one crate may do: whom of ours it may use, and which crates that call the system."""

    may_use: frozenset[str]
    unsafe: bool = False
    system: bool | frozenset[str] = False

    def may_call_with(self, crate: str) -> bool:
        """Whether it may depend on `crate`, which calls the system."""
        return self.system if isinstance(self.system, bool) else crate in self.system


def rule(*may_use: str, unsafe: bool = False, system: bool | frozenset[str] = False) -> Rule:
    """Shorten the table below."""
    return Rule(frozenset(may_use), unsafe, system)


CORE = ("aead", "protocol", "engine", "offload")
RULES = {
    "aead": rule(unsafe=True),
    "protocol": rule("aead"),
    # It knows texts, not packets, and stands apart.
    "config": rule(),
    "offload": rule("protocol", "aead"),
    "engine": rule("protocol", "aead", "offload"),
    "runtime": rule(*CORE, unsafe=True, system=True),
    "linux": rule(*CORE, "runtime", unsafe=True, system=True),
    "netstack": rule(*CORE, "runtime"),
    # It draws the keys that Python asks it to generate, and gives errors their numbers.
    "python": rule(
        *CORE,
        "config",
        "runtime",
        "netstack",
        "linux",
        unsafe=True,
        system=frozenset({"getrandom", "rustix"}),
    ),
    # Not part of the house: programs that measure it and functions that feed it bytes.
    "bench": rule(*CORE, "runtime", "netstack", "linux", unsafe=True, system=True),
    "fuzz-bodies": rule(*CORE, "config", "runtime", "netstack"),
}

# Crates that exist to call the system, wherever they are named.
SYSTEM_CRATES = frozenset(
    {
        "async-io",
        "getrandom",
        "libc",
        "mio",
        "nix",
        "polling",
        "quinn-udp",
        "rustix",
        "socket2",
        "tokio",
        "windows-sys",
    }
)
SYSTEM_CALLS = {
    "std::fs": r"\bstd::(?:\{[^}]*)?\bfs\b",
    "std::process": r"\bstd::(?:\{[^}]*)?\bprocess\b",
    "std::env": r"\bstd::(?:\{[^}]*)?\benv\b",
    "std::thread": r"\bstd::(?:\{[^}]*)?\bthread\b",
    "a standard socket": r"\bnet::\{?[^;{}()]*\b(?:UdpSocket|TcpStream|TcpListener|ToSocketAddrs)\b",
    "a Unix socket": r"\bUnix(?:Stream|Listener|Datagram)\b",
    "rustix for more than error numbers": r"\brustix::(?!io::Errno\b)",
    "a monotonic clock": r"\bstd::time::(?:\{[^}]*)?\bInstant\b|\bInstant::now\b",
    "a wall clock": r"\bSystemTime\b",
    "standard input or output": r"\bstd::io::(?:\{[^}]*)?\b(?:stdin|stdout|stderr)\b",
}


def main() -> int:
    """Print every breach, with its place."""
    breaches = [breach for package in packages() for breach in check(package)]
    for breach in breaches:
        sys.stderr.write(f"{breach}\n")
    return 1 if breaches else 0


def packages() -> list[dict[str, Any]]:
    """Return the workspace's packages as Cargo describes them."""
    command = ["cargo", "metadata", "--format-version=1", "--no-deps", "--locked", "--offline"]
    said = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    found: list[dict[str, Any]] = json.loads(said.stdout)["packages"]
    return found


def check(package: dict[str, Any]) -> list[str]:
    """Return what one package breaks."""
    name = str(package["name"]).removeprefix(PREFIX)
    manifest = Path(package["manifest_path"])
    where = str(manifest.relative_to(ROOT))
    if name not in RULES:
        return [f"{where}: crate {name} has no place in the house yet; give it one in {Path(__file__).name}"]
    own = RULES[name]
    return [
        *check_dependencies(where, name, own, package["dependencies"]),
        *check_unsafe(name, own, package["targets"]),
        *(() if own.system is True else check_system_calls(name, manifest.parent / "src")),
    ]


def check_dependencies(where: str, name: str, own: Rule, dependencies: list[dict[str, Any]]) -> list[str]:
    """Return the arrows that point up, and system crates that are named where none may be."""
    breaches = []
    for dependency in dependencies:
        other = str(dependency["name"])
        inner = other.removeprefix(PREFIX)
        if other.startswith(PREFIX) and inner not in own.may_use:
            allowed = ", ".join(sorted(own.may_use)) or "no other crate"
            breaches.append(f"{where}: {name} depends on {inner}; it may use {allowed}")
        # Tests of a crate may do what the crate may not.
        if other in SYSTEM_CRATES and not own.may_call_with(other) and dependency["kind"] != "dev":
            breaches.append(f"{where}: {name} depends on {other}, but only runtime and linux call the system")
    return breaches


def check_unsafe(name: str, own: Rule, targets: list[dict[str, Any]]) -> list[str]:
    """Return the crate roots that do not forbid `unsafe` though they must."""
    if own.unsafe:
        return []
    roots = [
        Path(target["src_path"]) for target in targets if {"lib", "cdylib", "rlib"} & set(target["kind"])
    ]
    return [
        f"{root.relative_to(ROOT)}: {name} must say #![forbid(unsafe_code)]"
        for root in roots
        if "#![forbid(unsafe_code)]" not in root.read_text()
    ]


def check_system_calls(name: str, folder: Path) -> list[str]:
    """Return the places outside tests where a crate touches the system."""
    breaches = []
    for path in sorted(folder.rglob("*.rs")):
        text = without_tests_and_comments(path)
        for what, pattern in SYSTEM_CALLS.items():
            for found in re.finditer(pattern, text):
                line = text.count("\n", 0, found.start()) + 1
                breaches.append(
                    f"{path.relative_to(ROOT)}:{line}: {name} uses {what}; take it as an argument"
                )
    return breaches


if __name__ == "__main__":
    sys.exit(main())
