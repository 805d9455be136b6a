"""The commands of docs/system.md, one behind the other, in a network of their own."""

from __future__ import annotations

import sys
from pathlib import Path

from tests.house.text import ROOT, code_blocks
from tests.lab.nodes import INNER, Node, cable, peer_section
from wirewright.lab import Lab

PAGE = ROOT / "docs" / "system.md"
PROGRAMS = Path(sys.executable).parent
MINE = "mount -t tmpfs none {0} && cat > {0}/office.conf && chmod 600 {0}/office.conf"


def test_the_commands_of_the_page_run(tmp_path: Path) -> None:
    lines = [
        line.removeprefix("$ ")
        for block in code_blocks(PAGE, "console")
        for line in block.splitlines()
        if line.startswith("$ ")
    ]
    assert len(lines) > 15
    with Lab(cable()) as lab:
        there = Node(lab["b"], INNER[1]).start()
        here = Node(lab["a"], INNER[0], "office")
        there.setconf(peer_section(here))
        text = (
            here.interface_section() + "Address = 10.7.0.1/24\n" + peer_section(there, endpoint="192.0.2.2")
        )
        lab["a"].run("sh", "-ec", f"mkdir -p /etc/wireguard; {MINE.format('/etc/wireguard')}", input=text)
        for line in lines:
            shell = f'PATH="{PROGRAMS}:$PATH"; cd {tmp_path}; {line}'
            done = lab["a"].run("sh", "-ec", shell, check=False)
            assert done.returncode == 0, f"{line}\n{done.stdout}{done.stderr}"
            assert "Traceback" not in done.stderr
        assert "[Peer]" in (tmp_path / "office.wg.conf").read_text()
        here.ping("10.7.0.2")
