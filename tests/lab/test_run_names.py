"""`ww run`: who is asked for names inside, and what resolves them on the host."""

from __future__ import annotations

import sys
from pathlib import Path

from tests.lab.confined import Desk, desk
from tests.lab.test_run import refused

NAMES = """
import socket
import dns.flags, dns.message, dns.rrset
with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
    sock.bind(("10.7.0.2", 53))
    print("ready", flush=True)
    while True:
        query, source = sock.recvfrom(4096)
        asked = dns.message.from_wire(query)
        response = dns.message.make_response(asked)
        (question,) = asked.question
        if question.name.to_text() == "intranet.example." and question.rdtype == 1:
            response.answer.append(dns.rrset.from_text(question.name, 60, "IN", "A", "10.7.0.2"))
        sock.sendto(response.to_wire(), source)
"""

DAEMON = """
import os, socket, sys, threading
def serve(path):
    sock = socket.socket(socket.AF_UNIX)
    sock.bind(path)
    sock.listen()
    os.chmod(path, 0o666)
    while True:
        sock.accept()[0].close()
for path in sys.argv[1:]:
    threading.Thread(target=serve, args=[path], daemon=True).start()
while not all(map(os.path.exists, sys.argv[1:])):
    pass
print("ready", flush=True)
sys.stdin.read()
"""
CONNECT = """
import socket, sys
for path in sys.argv[1:]:
    socket.socket(socket.AF_UNIX).connect(path)
"""


def test_names_are_asked_of_the_tunnels_servers() -> None:
    with desk(more="DNS = 10.7.0.2, example\n") as at:
        names = at.lab["b"].popen(sys.executable, "-c", NAMES, stdout=-1, text=True)
        assert names.stdout is not None
        assert names.stdout.readline() == "ready\n"
        before = Path("/etc/resolv.conf").read_bytes()
        assert at.sh("getent ahostsv4 intranet").split()[0] == "10.7.0.2"
        assert at.run("getent", "ahostsv4", "nowhere.example").returncode == 2
        assert at.sh("cat /etc/resolv.conf") == "nameserver 10.7.0.2\nsearch example\n"
        assert Path("/etc/resolv.conf").read_bytes() == before
        names.kill()
        names.communicate()


def test_without_name_servers_in_the_file_the_hosts_are_asked_inside() -> None:
    with desk() as at:
        assert at.sh("cat /etc/resolv.conf") == Path("/etc/resolv.conf").read_text()
        assert "hosts: files" in at.sh("cat /etc/nsswitch.conf")


def furnish(at: Desk, resolv: str) -> None:
    """Give the host an /etc and a /run of its own, in which /etc/resolv.conf is a link."""
    script = f"""
        mount -t tmpfs tmpfs /mnt
        for each in passwd group hosts ld.so.cache alternatives; do cp -a /etc/$each /mnt/; done
        echo 'hosts: files resolve [!UNAVAIL=return] dns' > /mnt/nsswitch.conf
        ln -s {resolv} /mnt/resolv.conf
        mount --bind /mnt /etc
        mount -t tmpfs tmpfs /run
        mkdir -p /run/nscd /run/systemd/resolve
        echo nameserver 127.0.0.53 > /run/systemd/resolve/stub-resolv.conf
    """
    at.machine.run("sh", "-ec", script)


def test_daemons_that_resolve_names_on_the_host_are_out_of_reach() -> None:
    with desk(more="DNS = 10.7.0.2\n") as at:
        furnish(at, "/run/systemd/resolve/stub-resolv.conf")
        paths = ["/run/nscd/socket", "/run/systemd/resolve/io.systemd.Resolve"]
        daemon = at.machine.popen(sys.executable, "-uc", DAEMON, *paths, stdout=-1, stdin=-1, text=True)
        assert daemon.stdout is not None
        assert daemon.stdout.readline() == "ready\n"
        at.machine.python(CONNECT, *paths)
        for path in paths:
            assert "FileNotFoundError" in at.run(sys.executable, "-c", CONNECT, path).stderr
        said = at.sh("cat /etc/resolv.conf /run/systemd/resolve/stub-resolv.conf; cat /etc/nsswitch.conf")
        assert said == "nameserver 10.7.0.2\n" * 2 + "hosts: files dns\n"
        assert "127.0.0.53" in at.machine.run("cat", "/etc/resolv.conf").stdout
        daemon.communicate()


def test_a_daemon_that_starts_again_or_later_stays_out_of_reach_and_so_do_new_servers_of_its() -> None:
    with desk(more="DNS = 10.7.0.2\n") as at:
        stub = "/run/systemd/resolve/stub-resolv.conf"
        furnish(at, stub)
        paths = ["/run/nscd/socket", "/run/systemd/resolve/io.systemd.Resolve"]
        before = at.machine.popen(sys.executable, "-uc", DAEMON, paths[0], stdout=-1, stdin=-1, text=True)
        assert before.stdout is not None
        assert before.stdout.readline() == "ready\n"
        look = f'echo ready; read x; {sys.executable} -c "$0" {paths[0]}; {sys.executable} -c "$0" {paths[1]}'
        process = at.start("sh", "-c", f"{look}; cat /etc/resolv.conf {stub}", CONNECT)
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        before.communicate()
        at.machine.run("rm", paths[0])
        after = at.machine.popen(sys.executable, "-uc", DAEMON, *paths, stdout=-1, stdin=-1, text=True)
        assert after.stdout is not None
        assert after.stdout.readline() == "ready\n"
        at.machine.run("sh", "-ec", f"echo nameserver 127.0.0.54 > {stub}.new; mv {stub}.new {stub}")
        at.machine.python(CONNECT, *paths)
        said, errors = process.communicate("\n", timeout=20)
        assert errors.count("FileNotFoundError") == 2
        assert said == "nameserver 10.7.0.2\n" * 2
        after.communicate()


def test_a_copy_of_the_hosts_servers_is_where_the_daemon_has_them_and_in_the_file_that_leads_there() -> None:
    with desk() as at:
        furnish(at, "/run/systemd/resolve/stub-resolv.conf")
        at.machine.run("ln", "-s", "stub-resolv.conf", "/run/systemd/resolve/resolv.conf")
        said = at.sh("cat /etc/resolv.conf; ls /run/systemd/resolve; ls /run/nscd")
        assert said == "nameserver 127.0.0.53\nresolv.conf\nstub-resolv.conf\n"
        at.write(more="DNS = 10.7.0.2\n")
        assert at.sh("cat /etc/resolv.conf /run/systemd/resolve/*") == "nameserver 10.7.0.2\n" * 3


def test_a_link_that_leads_nowhere_is_told_if_there_are_servers_to_be_written() -> None:
    with desk() as at:
        furnish(at, "/run/nowhere")
        assert at.sh("echo ran") == "ran\n"
        at.write(more="DNS = 10.7.0.2\n")
        refused(at, "/etc/resolv.conf leads to /run/nowhere, which is not there")
