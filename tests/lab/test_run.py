"""`ww run`: commands of someone without privileges, inside a tunnel."""

from __future__ import annotations

import os
import shlex
import shutil
import signal
import socket
import subprocess
import sys
from base64 import b64decode
from pathlib import Path

import pytest

from tests.lab.confined import WITHOUT_PRIVILEGES, Desk, desk, give_tun, owned, state
from tests.lab.nodes import INSIDE, Node, answer, inside, peer_section, until
from tests.memory import found
from wirewright.keys import PresharedKey


def test_both_families_reach_the_other_end_and_only_that_without_privileges() -> None:
    with desk() as at:
        at.sh("ping -n -c1 -w20 10.7.0.2; ping -n -c1 -w20 fd07::2")
        said = at.sh("ip -o link | cut -d: -f2; ip -o address | grep -o 'inet6\\? [^ ]*'")
        assert said.splitlines() == [
            " lo",
            " office",
            "inet 127.0.0.1/8",
            "inet6 ::1/128",
            "inet 10.7.0.1/24",
            "inet6 fd07::1/64",
        ]
        # The other end's outer address is on the host's own cable.
        assert "1 received" in at.machine.run("ping", "-n", "-c1", "-w20", "192.0.2.2").stdout
        done = at.run("sh", "-c", "ping -n -c1 -w5 192.0.2.2; ping -n -c1 -w5 fd00::2")
        assert done.stderr.count("unreachable") == 2


def test_what_listens_on_the_hosts_loopback_is_out_of_reach() -> None:
    with desk() as at:
        sink = inside(at.machine, "sink")
        reach = "import socket; socket.create_connection(('127.0.0.1', 7000), 5)"
        done = at.run(sys.executable, "-c", reach)
        assert "ConnectionRefusedError" in done.stderr
        at.machine.python(reach)
        answer(sink)


@pytest.mark.parametrize("address", ["10.7.0.2", "fd07::2"])
def test_tcp_and_udp_arrive_whole(address: str) -> None:
    with desk() as at:
        sink = inside(at.lab["b"], "sink")
        done = at.run(sys.executable, INSIDE, "send", address, str(8 << 20))
        assert done.returncode == 0, done.stderr
        assert answer(sink) == done.stdout.strip()
        echo = inside(at.lab["b"], "echo")
        done = at.run(sys.executable, INSIDE, "sizes", address, "1", "1372", "1373", "4000", "20000")
        assert done.stdout.strip() == "all 5", done.stderr
        echo.kill()
        echo.communicate()


def test_who_is_behind_the_tunnel_reaches_a_server_inside() -> None:
    with desk() as at:
        # It tells where it is by itself.
        at.write(keepalive=1)
        serve = at.start(sys.executable, INSIDE, "sink")
        assert serve.stdout is not None
        assert serve.stdout.readline() == "ready\n"
        sent = at.lab["b"].run(sys.executable, INSIDE, "send", "10.7.0.1", "100000").stdout
        said, _ = serve.communicate(timeout=50)
        assert (serve.returncode, said) == (0, sent)


@pytest.mark.parametrize(
    ("command", "expected"),
    [
        (("true",), 0),
        (("sh", "-c", "exit 7"), 7),
        (("sh", "-c", "exit 125"), 125),
        (("sh", "-c", "kill -TERM $$"), 128 + signal.SIGTERM),
        (("sh", "-c", "kill -KILL $$"), 128 + signal.SIGKILL),
        (("no-such-command",), 127),
        (("/no/such/command",), 127),
        (("/etc",), 126),
        (("/etc/passwd",), 126),
    ],
)
def test_the_status_is_the_commands(command: tuple[str, ...], expected: int) -> None:
    with desk() as at:
        done = at.run(*command)
        assert done.returncode == expected, done.stderr
        assert ("ww: " in done.stderr) == (expected in (126, 127))
        assert "Traceback" not in done.stderr


def test_a_folder_of_the_path_that_is_closed_makes_no_difference() -> None:
    with desk() as at:
        closed = at.folder / "closed"
        closed.mkdir(mode=0o700)
        done = at.run("no-such-command", env={"PATH": f"{closed}:{os.environ['PATH']}"})
        assert (done.returncode, done.stderr) == (127, "ww: no-such-command: command not found\n")


def test_a_script_without_a_first_line_is_run_by_the_shell_and_options_are_the_commands() -> None:
    with desk() as at:
        script = at.folder / "script"
        script.write_text('echo "$0 $*"\n')
        script.chmod(0o755)
        assert at.run(str(script), "-x", "--", "--help").stdout == f"{script} -x -- --help\n"


def test_options_of_the_command_need_no_dashes_before_it() -> None:
    with desk() as at:
        words = [word for word in at.words("echo", "--help", "--", "-n") if word != "--"][:-2]
        done = at.machine.run(*words, "--help", "--", "-n")
        assert done.stdout == "--help -- -n\n"


def test_signals_are_passed_on() -> None:
    with desk() as at:
        script = "trap 'echo one' USR1; trap 'echo two; exit 9' TERM; echo ready; while :; do read x; done"
        process = at.start("bash", "-c", script)
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        ww, _, _ = at.tree()
        os.kill(ww, signal.SIGUSR1)
        assert process.stdout.readline() == "one\n"
        os.kill(ww, signal.SIGTERM)
        assert process.stdout.readline() == "two\n"
        process.communicate(timeout=20)
        assert process.returncode == 9


def test_a_command_that_is_stopped_without_a_terminal_may_be_continued_alone() -> None:
    with desk() as at:
        process = at.start("sh", "-c", "echo ready; kill -STOP $$; exit 3", start_new_session=True)
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        ww, engine, command = at.tree()
        until(lambda: state(command) == "T", "it is stopped")
        assert "T" not in (state(ww), state(engine))
        os.kill(command, signal.SIGCONT)
        assert process.wait(20) == 3
        process.communicate()


def test_nothing_is_left_when_the_command_ends() -> None:
    with desk(more="ListenPort = 7777\n") as at:
        mounts = at.machine.run("cat", "/proc/mounts").stdout
        assert ":7777" in at.sh("ping -n -c1 -w20 10.7.0.2 >/dev/null; cat /proc/net/udp; echo :7777")
        assert at.machine.processes() == []
        assert ":7777" not in at.machine.run("ss", "-ulnH").stdout
        assert at.machine.run("cat", "/proc/mounts").stdout == mounts
        assert "office" not in at.machine.run("ip", "-o", "link").stdout


def test_when_the_engine_is_killed_the_command_is_and_what_it_left_has_no_network() -> None:
    with desk() as at:
        seen = at.folder / "seen"
        seen.touch()
        owned(seen)
        # It is out of the reach of whoever looks after the command alone.
        left = f"setsid sh -c 'while ip -o link | grep -q office; do :; done; ip -o link > {seen}' &"
        process = at.start("sh", "-c", f"{left} ping -n -c1 -w20 10.7.0.2 >/dev/null; echo ready; read x")
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        _, engine, _ = at.tree()
        os.kill(engine, signal.SIGKILL)
        # Its input stays open: it does not end by itself.
        assert process.wait(20) == 125
        _, errors = process.communicate()
        assert (
            errors == "ww: the process behind the tunnel ended (signal 9); the command was killed with it\n"
        )
        until(lambda: "lo:" in seen.read_text(), "what was left looks around")
        assert len(seen.read_text().splitlines()) == 1


def test_when_ww_is_killed_the_command_and_the_engine_are() -> None:
    with desk() as at:
        process = at.start("sh", "-c", "echo ready; read x; read y")
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        ww, engine, command = at.tree()
        os.kill(ww, signal.SIGKILL)
        process.wait(20)
        until(lambda: not {engine, command} & set(at.machine.processes()), "both are gone")
        process.communicate()


def test_only_the_standard_descriptors_are_passed_on() -> None:
    with desk() as at, socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as ours:
        list_them = "import os; print(sorted(map(int, os.listdir('/proc/self/fd'))))"
        process = at.start(sys.executable, "-c", list_them, pass_fds=[ours.fileno()])
        said, errors = process.communicate(timeout=50)
        # The last is the listing's own.
        assert said == "[0, 1, 2, 3]\n", errors


def test_descriptors_that_are_closed_stay_closed() -> None:
    with desk() as at:
        words = " ".join(at.words("sh", "-c", "'ls -l /proc/self/fd'"))
        said = at.machine.run("sh", "-c", f"{words} <&-").stdout
        assert " 0 -> /proc" in said
        assert len(said.splitlines()) == 4


def test_the_user_is_the_same_and_has_no_capabilities() -> None:
    with desk() as at:
        assert at.sh("echo $(id -u) $(id -g)").split() == ["65534", "65534"]
        said = dict(line.split(":\t") for line in at.sh("grep -E 'Cap|NoNew' /proc/self/status").splitlines())
        assert {said[name] for name in ("CapInh", "CapPrm", "CapEff", "CapAmb")} == {"0" * 16}
        assert said["NoNewPrivs"] == "1"
        forbidden = (
            "ip link set office down",
            "ip route add default dev office",
            "ip link add other type dummy",
            "mount -t tmpfs tmpfs /mnt",
            "umount /etc/resolv.conf",
            f"nsenter --net=/proc/{os.getpid()}/ns/net true",
        )
        # Each is there, and fails.
        script = "".join(f"{words}; case $? in 0|12[5-7]) echo '{words}';; esac; " for words in forbidden)
        assert at.run("sh", "-c", f"{script}:").stdout == ""


def test_root_inside_is_root_without_its_powers() -> None:
    with desk() as at:
        _, *words = at.words("sh", "-c", "id -u; grep CapEff /proc/self/status; ip link set office down")
        words = words[words.index(sys.executable) - 5 :][4:]
        done = at.machine.run(*words[1:], check=False)
        assert done.stdout.split() == ["0", "CapEff:", "0" * 16]
        assert "Operation not permitted" in done.stderr


def test_setuid_programs_and_those_with_capabilities_gain_nothing() -> None:
    with desk() as at:
        copies = []
        for name in ("setuid", "capable"):
            copy = at.folder / name
            shutil.copy("/usr/bin/cat", copy)
            copies.append(copy)
        copies[0].chmod(0o4755)
        copies[1].chmod(0o755)
        at.machine.run("setcap", "cap_net_admin+ep", str(copies[1]))
        for copy in copies:
            said = at.run(str(copy), "/proc/self/status").stdout
            assert "Uid:\t65534\t65534\t65534\t65534\n" in said
            assert f"CapEff:\t{'0' * 16}\n" in said
            # They are what they seem to be where nothing forbids it.
            plain = at.machine.run(*at.words()[:6], str(copy), "/proc/self/status").stdout
            assert "Uid:\t65534\t0\t" in plain or "CapEff:\t0000000000001000" in plain


def test_the_log_is_told_if_it_is_asked_for_and_the_commands_own_variable_is_its_own() -> None:
    with desk() as at:
        assert at.run("true", env={"LOG_LEVEL": "verbose"}).stderr == ""
        done = at.run("sh", "-c", "echo $LOG_LEVEL", env={"WIREWRIGHT_LOG": "verbose", "LOG_LEVEL": "mine"})
        assert "office: the UDP port is" in done.stderr
        assert done.stdout == "mine\n"


def test_keys_are_in_no_argument_and_no_environment() -> None:
    with desk() as at:
        shared = PresharedKey.generate()
        at.there.setconf(peer_section(at.here, preshared_key=shared))
        at.write(preshared_key=shared)
        process = at.start("sh", "-c", "ping -n -c1 -w20 10.7.0.2 >/dev/null && echo ready; read x")
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        for pid in at.tree():
            for name in ("cmdline", "environ"):
                said = Path(f"/proc/{pid}/{name}").read_bytes()
                for key in (at.here.key, shared):
                    assert key.expose().encode() not in said
        # Nor may others of the user look into the process that has them.
        ww, engine, _ = at.tree()
        looks = [
            subprocess.run(
                [*WITHOUT_PRIVILEGES, "cat", f"/proc/{pid}/environ"], capture_output=True, check=False
            )
            for pid in (ww, engine)
        ]
        assert [look.returncode for look in looks] == [0, 1]
        assert b"Permission denied" in looks[1].stderr
        process.communicate("\n", timeout=20)
        assert process.returncode == 0


def test_hooks_are_not_run() -> None:
    with desk() as at:
        at.folder.chmod(0o777)
        ran = at.folder / "ran"
        hooks = ("PreUp", "PostUp", "PreDown", "PostDown")
        at.write(more="".join(f"{hook} = touch {ran}\n" for hook in hooks))
        at.sh("true")
        assert not ran.exists()
        at.sh(f"touch {ran}")


@pytest.mark.parametrize(
    ("more", "outer", "expected"), [("MTU = 1300\n", 1500, 1300), ("", 1500, 1420), ("", 1400, 1320)]
)
def test_the_mtu_is_that_of_the_file_or_fits_the_way(more: str, outer: int, expected: int) -> None:
    with desk(more=more, mtu=outer) as at:
        assert f"mtu {expected} " in at.sh("ip link show office")
        longest = f"ping -n -c1 -w20 -M do -s {expected - 28} 10.7.0.2"
        assert "1 received" in at.sh(longest)


@pytest.mark.parametrize(
    ("file", "interface"),
    [
        ("a23456789012345.conf", "a23456789012345"),
        ("a234567890123456.conf", "tunnel"),
        ("lo.conf", "tunnel"),
        ("default.conf", "tunnel"),
        ("a b.conf", "tunnel"),
        ("%d.conf", "tunnel"),
    ],
)
def test_the_interface_is_called_as_the_file_if_it_can_be(file: str, interface: str) -> None:
    with desk() as at:
        conf = at.write(file)
        assert at.sh("ip -o link | cut -d: -f2", conf=conf).split() == ["lo", interface]


def test_two_at_once_have_nothing_to_do_with_each_other() -> None:
    with desk() as at:
        first = at.start("sh", "-c", "ping -n -c1 -w20 10.7.0.2 >/dev/null && echo ready; read x")
        assert first.stdout is not None
        assert first.stdout.readline() == "ready\n"
        other = Node(at.machine, ("10.7.0.9", "fd07::9"), "office")
        at.there.add(peer_section(other))
        at.here, first_node = other, at.here
        (at.folder / "second").mkdir()
        conf = at.write("second/office.conf")
        assert "inet 10.7.0.9/" in at.sh("ip -o address show office; ping -n -c1 -w20 10.7.0.2", conf=conf)
        assert at.there.reaches(first_node.addresses[0], seconds=20)
        first.communicate("\n", timeout=20)
        assert first.returncode == 0


def test_everything_may_go_through_the_tunnel() -> None:
    with desk() as at:
        at.lab["b"].run("ip", "address", "add", "198.51.100.7/32", "dev", "wg0")
        conf = at.write(allowed=["0.0.0.0/0", "::/0"])
        at.sh("ping -n -c1 -w20 198.51.100.7", conf=conf)
        # The host's own neighbour is reached through the tunnel now, by the tunnel's other end.
        at.sh("ping -n -c1 -w20 192.0.2.2", conf=conf)


def test_the_outer_network_may_be_ipv6_and_the_inner_of_one_family() -> None:
    with desk() as at:
        conf = at.write(endpoint="fd00::2", allowed=["0.0.0.0/0", "::/0"])
        conf.write_text(conf.read_text().replace("10.7.0.1/24, ", ""))
        at.sh("ping -n -c1 -w20 fd07::2", conf=conf)
        assert "unreachable" in at.run("ping", "-n", "-c1", "-w5", "10.7.0.2", conf=conf).stderr


def test_one_may_run_in_another() -> None:
    with desk() as at:
        inner = Node(at.machine, ("10.8.0.1", "fd08::1"), "inner")
        second = Node(at.lab["b"], ("10.8.0.2", "fd08::2"), "wg1", port=51821).start()
        second.setconf(peer_section(inner))
        at.here, at.there = inner, second
        conf = at.write("inner.conf", endpoint="10.7.0.2", allowed=["10.8.0.0/24"])
        # The second tunnel's datagrams go through the first; nothing else of that is seen inside.
        words = at.words("sh", "-c", "ip -o link | wc -l; ping -n -c1 -w20 10.8.0.2", conf=conf)
        said = at.sh(shlex.join(words[len(WITHOUT_PRIVILEGES) :]))
        assert said.startswith("2\n")
        assert "1 received" in said
        assert second.endpoint_of(inner).startswith("10.7.0.1:")


def test_programs_may_make_namespaces_of_their_own_and_are_no_nearer_to_the_tunnels() -> None:
    with desk() as at:
        assert at.sh("unshare --user --map-root-user --net ip -o link | wc -l") == "1\n"
        done = at.run("unshare", "--user", "--map-root-user", "ip", "link", "set", "office", "down")
        assert "Operation not permitted" in done.stderr


def test_no_process_but_the_engine_holds_the_keys() -> None:
    with desk() as at:
        shared = PresharedKey.generate()
        at.there.setconf(peer_section(at.here, preshared_key=shared))
        at.write(preshared_key=shared)
        script = "import subprocess; subprocess.run(['ping', '-c1', '10.7.0.2']); print('ready'); input()"
        process = at.start(sys.executable, "-uc", script)
        assert process.stdout is not None
        until(lambda: process.stdout is not None and process.stdout.readline() == "ready\n", "it is reached")
        secrets = {name: b64decode(key.expose()) for name, key in (("own", at.here.key), ("shared", shared))}
        ww, engine, command = at.tree()
        assert {name for name, forms in found(engine, secrets).items() if "raw" in forms} == {"own", "shared"}
        assert found(ww, secrets) == found(command, secrets) == {}
        process.communicate("\n", timeout=20)


# What cannot be.


def refused(at: Desk, words: str, conf: Path | None = None) -> None:
    """Expect a sentence with these words, and that nothing ran."""
    done = at.run("echo", "ran", conf=conf)
    assert (done.returncode, done.stdout) == (125, ""), done.stderr
    assert words in done.stderr
    assert "Traceback" not in done.stderr
    assert at.machine.processes() == []


def test_a_file_that_cannot_be_used_is_named() -> None:
    with desk() as at:
        refused(at, f"{at.folder}/none.conf: No such file", at.folder / "none.conf")
        wrong = owned(at.write("wrong.conf"))
        text = wrong.read_text()
        wrong.write_text(text.replace("Address", "Adress"))
        refused(at, f"{wrong}", wrong)
        wrong.write_text(text.replace("PrivateKey", "#PrivateKey"))
        refused(at, "there is no PrivateKey", wrong)
        wrong.write_text(text.replace("Address", "#Address"))
        refused(at, "there is no Address", wrong)
        wrong.write_text(text.replace("[Peer]", "MTU = 1000\n[Peer]"))
        refused(at, "an MTU of 1000 is too little for IPv6", wrong)
        wrong.write_text(text.replace("[Peer]", "FwMark = 7\n[Peer]"))
        refused(at, "FwMark 7: Operation not permitted", wrong)
        wrong.chmod(0)
        refused(at, f"{wrong}: Permission denied", wrong)


def test_a_port_in_use_is_told() -> None:
    with desk() as at:
        Node(at.machine, (), "wg9", port=7777).start()
        at.write(more="ListenPort = 7777\n")
        done = at.run("echo", "ran")
        assert (done.returncode, done.stdout) == (125, "")
        assert "ListenPort 7777: Address already in use" in done.stderr


def test_where_user_namespaces_are_forbidden_it_says_what_forbids_them() -> None:
    with desk() as at:
        forbid = f"echo 0 > /proc/sys/user/max_user_namespaces; exec {' '.join(at.words('echo', 'ran')[6:])}"
        # Within one more, in which the setting is the user's own.
        words = (*at.words()[:6], "unshare", "--user", "--map-root-user", "sh", "-c", forbid)
        done = at.machine.run(*words, check=False)
        assert (done.returncode, done.stdout) == (125, "")
        assert "user.max_user_namespaces is 0" in done.stderr


def test_a_device_that_is_closed_or_not_there_is_told() -> None:
    with desk() as at:
        give_tun(at.machine, at.folder, "600")
        refused(at, "/dev/net/tun may not be opened")
        at.machine.run("mount", "-t", "tmpfs", "tmpfs", "/dev/net")
        refused(at, "there is no /dev/net/tun")


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_what_ends_it_while_a_name_is_looked_up_ends_all(number: signal.Signals) -> None:
    with desk() as at:
        # A server that never answers.
        silent = at.folder / "resolv.conf"
        silent.write_text("nameserver 192.0.2.2\n")
        at.lab["b"].run("nft", "add table inet t; add chain inet t c { type filter hook input priority 0; }")
        at.lab["b"].run("nft", "add rule inet t c udp dport 53 drop")
        at.machine.run("mount", "--bind", str(silent), "/etc/resolv.conf")
        conf = at.write(endpoint="office.example")
        process = at.machine.popen(*at.words("echo", "ran", conf=conf), stdout=-1, stderr=-1, text=True)
        until(lambda: ":53" in at.machine.run("ss", "-unH").stdout, "it asks for the name")
        os.kill(at.first(), number)
        said, errors = process.communicate(timeout=20)
        assert (said, errors) == ("", "")
        # nsenter dies as its child did.
        assert process.returncode == (-number if number == signal.SIGKILL else 128 + number)
        until(lambda: at.machine.processes() == [], "all processes are gone")
