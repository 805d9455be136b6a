"""What a forked child finds of a tunnel, while other threads are busy with it."""

import os
import select
import subprocess
import sys
import threading
import time

from wirewright._core import RootlessTunnel, SecretKey

CHILD_OK = 17


def pair(outer: str = "127.0.0.1") -> tuple[RootlessTunnel, RootlessTunnel]:
    """Two tunnels that know each other."""
    ours, theirs = SecretKey.generate(), SecretKey.generate()
    left = RootlessTunnel(ours, ["10.0.0.1/24"], listen_address=outer)
    right = RootlessTunnel(theirs, ["10.0.0.2/24"], listen_address=outer)
    endpoint = (outer, right.listen_port)
    left.add_peer(theirs.public_key, endpoint=endpoint, allowed_ips=["10.0.0.2/32"])
    right.add_peer(ours.public_key, allowed_ips=["10.0.0.1/32"])
    return left, right


def wait_for_pong(tunnel: RootlessTunnel) -> None:
    """Wait until the descriptor says that a pong is there."""
    end = time.monotonic() + 20
    while time.monotonic() < end:
        if select.select([tunnel], [], [], 1)[0] and any(kind == "pong" for kind, _, _ in tunnel.events()):
            return
    raise AssertionError("no pong came")


def child(tunnel: RootlessTunnel) -> int:
    """What the child does: everything must be refused at once, and nothing may hang."""
    for attempt in (tunnel.stats, tunnel.events, lambda: tunnel.ping("10.0.0.2"), tunnel.fileno):
        try:
            attempt()
        except RuntimeError:
            continue
        return 1
    if not tunnel.closed:
        return 2
    tunnel.close()
    # A child may have tunnels of its own.
    left, right = pair()
    left.ping("10.0.0.2")
    wait_for_pong(left)
    left.close()
    right.close()
    return CHILD_OK


def wait_for_child(process: int) -> int:
    """Wait for a child's exit status, but not for ever."""
    end = time.monotonic() + 20
    while time.monotonic() < end:
        done, status = os.waitpid(process, os.WNOHANG)
        if done:
            return os.waitstatus_to_exitcode(status)
        time.sleep(0.01)
    os.kill(process, 9)
    os.waitpid(process, 0)
    raise AssertionError("the child hung")


def test_children_find_it_closed_however_busy_the_parent_is_and_the_parent_goes_on() -> None:
    left, right = pair()
    left.ping("10.0.0.2")
    wait_for_pong(left)
    stop = threading.Event()

    def be_busy() -> None:
        while not stop.is_set():
            left.stats()
            assert not left.closed
            left.ping("10.0.0.2")

    threads = [threading.Thread(target=be_busy) for _ in range(2)]
    for thread in threads:
        thread.start()
    try:
        for _ in range(8):
            process = os.fork()
            if process == 0:
                status = 3
                try:
                    status = child(left)
                finally:
                    os._exit(status)
            assert wait_for_child(process) == CHILD_OK
    finally:
        stop.set()
        for thread in threads:
            thread.join()
    left.events()
    left.ping("10.0.0.2")
    wait_for_pong(left)
    left.close()
    right.close()


def run_alone(program: str) -> None:
    """Run a program that might hang in a process of its own."""
    command = [sys.executable, "-c", program]
    done = subprocess.run(command, timeout=30, check=False, capture_output=True, stdin=subprocess.DEVNULL)
    assert (done.returncode, done.stderr) == (0, b"")


GIVEN_UP_BY_A_HOOK = """
import os
held = []
# It comes before ours, and so is called behind it: the locks are taken by then.
os.register_at_fork(before=held.clear)
from wirewright._core import RootlessTunnel, SecretKey
held.append(RootlessTunnel(SecretKey.generate(), ["10.0.0.1/24"], listen_address="127.0.0.1"))
port = held[0].listen_port
process = os.fork()
if process == 0:
    os._exit(0)
os.waitpid(process, 0)
# The tunnel has ended, and its port is free.
RootlessTunnel(SecretKey.generate(), ["10.0.0.1/24"], listen_address="127.0.0.1", listen_port=port).close()
"""


def test_a_tunnel_that_is_given_up_on_the_way_to_a_fork_ends_after_it() -> None:
    run_alone(GIVEN_UP_BY_A_HOOK)


CLOSED_BY_OTHERS = """
import os, stat, threading
from wirewright._core import RootlessTunnel, SecretKey
key, stop = SecretKey.generate(), threading.Event()

def come_and_go():
    while not stop.is_set():
        RootlessTunnel(key, ["10.0.0.1/24"], listen_address="127.0.0.1").close()

def has_socket(descriptor):
    try:
        return stat.S_ISSOCK(os.fstat(descriptor).st_mode)
    except OSError:
        return False

threads = [threading.Thread(target=come_and_go) for _ in range(3)]
for thread in threads:
    thread.start()
statuses = set()
for _ in range(200):
    process = os.fork()
    if process == 0:
        os._exit(any(map(has_socket, range(256))))
    statuses.add(os.waitpid(process, 0)[1])
stop.set()
for thread in threads:
    thread.join()
assert statuses == {0}, "a child has a socket"
"""


def test_a_fork_neither_hangs_nor_inherits_a_socket_while_other_threads_make_and_give_up_tunnels() -> None:
    run_alone(CLOSED_BY_OTHERS)
