"""``wirewright-tun``: the process behind a system interface, as ``wg-quick`` starts it.

It imports nothing but the core. Interface and UAPI socket are there when the command returns; what serves
them goes on in the background, and forks before any key or thread exists.

Environment: ``WG_PROCESS_FOREGROUND=1`` stays in the foreground, ``WG_TUN_FD`` is the descriptor of a TUN
device to take over, ``WIREWRIGHT_SHARDS`` the number of threads for packets, ``WIREWRIGHT_WITHOUT`` a list of
offloads to do without (``tun-tcp,tun-udp,udp-send,udp-receive``). ``WIREWRIGHT_CORE_FILES=1`` lets the kernel
write a core file after a crash: it has none of the keys that are kept, but may have one that was passing.
"""

from __future__ import annotations

import errno
import os
import signal
import sys

# As a checker of types knows it. This process lasts, and whatever it imports stays in its memory.
TYPE_CHECKING = False

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

USAGE = "usage: wirewright-tun [-f | --foreground] INTERFACE\n       wirewright-tun --version"


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; return its exit status."""
    words = list(sys.argv[1:] if arguments is None else arguments)
    if words == ["--version"]:
        from wirewright._core import __debug_build__, __version__  # noqa: PLC0415 - else after the fork

        sys.stdout.write(f"wirewright-tun {__version__}{' (debug build)' * __debug_build__}\n")
        return 0
    if words in (["-h"], ["--help"]):
        sys.stdout.write(USAGE + "\n")
        return 0
    foreground = os.environ.get("WG_PROCESS_FOREGROUND") == "1"
    if words and words[0] in ("-f", "--foreground"):
        foreground = True
        words.pop(0)
    if len(words) != 1 or words[0].startswith("-"):
        sys.stderr.write(USAGE + "\n")
        return 2
    return serve(words[0], lambda _: None) if foreground else go_to_background(words[0])


def go_to_background(name: str) -> int:
    """Serve the interface in a child; return once it is there, or once it is clear that it will not be."""
    reading, writing = os.pipe()
    if os.fork():
        os.close(writing)
        with os.fdopen(reading, "rb") as answer:
            return 0 if answer.read() == b"ready" else 1
    os.close(reading)
    os.setsid()
    os.chdir("/")
    null = os.open(os.devnull, os.O_RDWR)
    os.dup2(null, 0)

    def ready(_: str) -> None:
        os.write(writing, b"ready")
        os.close(writing)
        # Whoever waits for the end of our output must not wait for the end of the interface.
        for descriptor in (1, 2):
            os.dup2(null, descriptor)

    os._exit(serve(name, ready))


def serve(name: str, ready: Callable[[str], None]) -> int:
    """Serve the interface until it is deleted, its socket is removed, or a signal asks to end."""
    from wirewright._core import run_interface  # noqa: PLC0415 - after the fork

    stop, wake = os.pipe()
    os.set_blocking(wake, False)
    signal.set_wakeup_fd(wake)
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(number, lambda *_: None)
    try:
        run_interface(
            name,
            stop=stop,
            ready=ready,
            tun_descriptor=number_in("WG_TUN_FD", range(1 << 20)),
            shards=number_in("WIREWRIGHT_SHARDS", range(1, 65)) or 1,
            without=[word for word in os.environ.get("WIREWRIGHT_WITHOUT", "").split(",") if word],
            undumpable=os.environ.get("WIREWRIGHT_CORE_FILES") != "1",
        )
    except (OSError, ValueError) as error:
        sys.stderr.write(f"wirewright-tun: {name}: {explain(error)}\n")
        return 1
    return 0


def number_in(variable: str, possible: range) -> int | None:
    """Return the number that an environment variable holds, if it is set."""
    text = os.environ.get(variable)
    if text is None:
        return None
    if not text.isdecimal() or len(text) > 9 or int(text) not in possible:
        bounds = f"a number from {possible[0]} to {possible[-1]}"
        raise ValueError(f"the environment variable {variable} must be {bounds}, not {text[:20]!r}")
    return int(text)


def explain(error: Exception) -> str:
    """Say what to do about an error, where that is known."""
    if isinstance(error, PermissionError):
        return "not permitted: creating an interface takes root or CAP_NET_ADMIN"
    if isinstance(error, FileNotFoundError):
        return "there is no /dev/net/tun: load the module (modprobe tun), or give the container the device"
    if isinstance(error, OSError) and error.errno == errno.EBUSY:
        return "an interface of this name is there already, and another program serves it"
    if isinstance(error, OSError) and error.errno == errno.EBADF:
        return "the descriptor in WG_TUN_FD is not open"
    return str(error.strerror or error) if isinstance(error, OSError) else str(error)


if __name__ == "__main__":
    sys.exit(main())
