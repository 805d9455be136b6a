"""``wirewright-tun``: the process behind a system interface, as ``wg-quick`` starts it.

It imports nothing but the core, and what needs nothing itself. Interface and UAPI socket are there when the
command returns; what serves them goes on in the background, and forks before any key or thread exists.
``HELP`` names the environment.
"""

from __future__ import annotations

import errno
import os
import signal
import sys

from wirewright.host import descriptors

# As a checker of types knows it. This process lasts, and whatever it imports stays in its memory.
TYPE_CHECKING = False

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

USAGE = "usage: wirewright-tun [-f | --foreground] INTERFACE\n       wirewright-tun --help | --version"
HELP = f"""{USAGE}

Make a WireGuard interface and serve it, until it is deleted, its socket in
/var/run/wireguard is removed, or a signal asks to end. wg and wg-quick speak to it.

environment:
  WG_PROCESS_FOREGROUND=1  stay in the foreground, like -f
  LOG_LEVEL                what is told on the standard error: verbose (or debug), error
                           or silent; error in the foreground, silent in the background
  WG_TUN_FD                take over this descriptor of a TUN device
  WG_UAPI_FD               take over this descriptor of a listening UAPI socket
  WIREWRIGHT_SHARDS        threads for packets, 1 to 64 (default 1)
  WIREWRIGHT_WITHOUT       offloads to do without, separated by commas:
                           tun-tcp, tun-udp, udp-send, udp-receive
  WIREWRIGHT_CORE_FILES=1  let the kernel write a core file after a crash: it has none of
                           the keys that are kept, but may have one that was passing
"""
# Other words are taken for "error", as wireguard-go does: the variable is not ours alone.
LEVELS = {"verbose": "verbose", "debug": "verbose", "error": "error", "silent": "silent"}
TUN = "/dev/net/tun"
NO_PERMISSION = "not permitted: creating an interface takes root or CAP_NET_ADMIN"
NO_DRIVER = f"{{reason}}: if {TUN} is there without its driver, load the module (modprobe tun)"
# By error number.
REMEDIES = {
    errno.EPERM: NO_PERMISSION,
    errno.EACCES: NO_PERMISSION,
    errno.ENOENT: f"there is no {TUN}: load the module (modprobe tun), or give the container the device",
    errno.ENODEV: NO_DRIVER,
    errno.ENXIO: NO_DRIVER,
    errno.EBUSY: "an interface of this name is there already, and another program serves it",
    errno.EINVAL: "{reason}: the kernel does not take this as the name of an interface",
}


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; return its exit status."""
    words = list(sys.argv[1:] if arguments is None else arguments)
    descriptors.occupy_standard(inheritable=True)
    if words == ["--version"]:
        from wirewright._core import __debug_build__, __version__  # noqa: PLC0415 - else after the fork

        sys.stdout.write(f"wirewright-tun {__version__}{' (debug build)' * __debug_build__}\n")
        return 0
    if words in (["-h"], ["--help"]):
        sys.stdout.write(HELP)
        return 0
    foreground = os.environ.get("WG_PROCESS_FOREGROUND") == "1"
    if words and words[0] in ("-f", "--foreground"):
        foreground = True
        words.pop(0)
    if len(words) != 1 or words[0].startswith("-"):
        sys.stderr.write(USAGE + "\n")
        return 2
    try:
        settings = Settings(words[0], foreground=foreground)
    except ValueError as error:
        return fail(words[0], str(error))
    return serve(settings, lambda _: None) if foreground else go_to_background(settings)


class Settings:
    """What is served, and how: what the command line and the environment say."""

    def __init__(self, name: str, *, foreground: bool) -> None:
        """Read the environment, before anything is opened that might take a number in it."""
        level = os.environ.get("LOG_LEVEL", "")
        self.name = name_from(name)
        self.tun_descriptor = descriptor_in("WG_TUN_FD")
        self.uapi_descriptor = descriptor_in("WG_UAPI_FD")
        self.shards = number_in("WIREWRIGHT_SHARDS", range(1, 65)) or 1
        without = os.environ.get("WIREWRIGHT_WITHOUT", "")
        self.without = [word for word in printable(without).split(",") if word]
        self.log = LEVELS.get(level, "error") if level or foreground else "silent"
        self.undumpable = os.environ.get("WIREWRIGHT_CORE_FILES") != "1"


def go_to_background(settings: Settings) -> int:
    """Serve the interface in a child; return once it is there, or once it is clear that it will not be."""
    reading, writing = os.pipe()
    if os.fork():
        os.close(writing)
        with os.fdopen(reading, "rb") as answer:
            return 0 if answer.read() == b"ready" else 1
    os.close(reading)
    os.setsid()
    os.chdir("/")
    descriptors.close_others(writing, settings.tun_descriptor, settings.uapi_descriptor)
    null = os.open(os.devnull, os.O_RDWR)
    os.dup2(null, 0)

    def ready(_: str) -> None:
        os.write(writing, b"ready")
        os.close(writing)
        # Whoever waits for the end of our output must not wait for the end of the interface, unless
        # there is a log.
        for descriptor in (1, 2) if settings.log == "silent" else (1,):
            os.dup2(null, descriptor)

    os._exit(serve(settings, ready))


def serve(settings: Settings, ready: Callable[[str], None]) -> int:
    """Serve the interface until it is deleted, its socket is removed, or a signal asks to end."""
    from wirewright._core import run_interface  # noqa: PLC0415 - after the fork

    begun = False

    def has_begun(name: str) -> None:
        nonlocal begun
        begun = True
        ready(name)

    stop, wake = os.pipe()
    os.set_blocking(wake, False)
    signal.set_wakeup_fd(wake)
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(number, lambda *_: None)
    try:
        run_interface(
            settings.name,
            stop=stop,
            ready=has_begun,
            tun_descriptor=settings.tun_descriptor,
            uapi_descriptor=settings.uapi_descriptor,
            shards=settings.shards,
            without=settings.without,
            log=settings.log,
            undumpable=settings.undumpable,
        )
    except (OSError, ValueError) as error:
        return fail(settings.name, reason(error) if begun else explain(error))
    return 0


def fail(name: str, why: str) -> int:
    """Say what went wrong; return the exit status for it."""
    if sys.stderr is not None:
        sys.stderr.write(f"wirewright-tun: {printable(name)}: {why}\n")
    return 1


def printable(text: str) -> str:
    """Return a text as it is, or with escapes if it holds what a terminal might obey or cannot show."""
    return text if text.isprintable() else repr(text)[1:-1]


def name_from(argument: str) -> str:
    """Return the name of the interface. The kernel takes control characters; here they are none of a name."""
    if not argument.isprintable():
        raise ValueError("this cannot be the name of an interface: it has characters that cannot be shown")
    return argument


def descriptor_in(variable: str) -> int | None:
    """Return the open descriptor that an environment variable names, if it is set."""
    number = number_in(variable, range(1 << 20))
    if number is not None:
        try:
            os.fstat(number)
        except OSError:
            raise ValueError(f"the descriptor in {variable} is not open") from None
    return number


def number_in(variable: str, possible: range) -> int | None:
    """Return the number that an environment variable holds, if it is set."""
    text = os.environ.get(variable)
    if not text:
        return None
    if not text.isdecimal() or len(text) > 9 or int(text) not in possible:
        bounds = f"a number from {possible[0]} to {possible[-1]}"
        raise ValueError(f"the environment variable {variable} must be {bounds}, not {text[:20]!r}")
    return int(text)


def explain(error: Exception) -> str:
    """Say what to do about an error of the start, where that is known."""
    number = error.errno if isinstance(error, OSError) else None
    # The device may be closed to us, root or not; or what it makes takes more than opening it.
    if number in (errno.EPERM, errno.EACCES) and is_forbidden(TUN):
        return f"{TUN} may not be opened: run as root, and in a container, have its device rules allow it"
    remedy = REMEDIES.get(number or 0)
    return remedy.format(reason=reason(error)) if remedy else reason(error)


def reason(error: Exception) -> str:
    """Say what an error says of itself."""
    return str(error.strerror or error) if isinstance(error, OSError) else str(error)


def is_forbidden(path: str) -> bool:
    """Whether a file is there and may not be opened."""
    try:
        os.close(os.open(path, os.O_RDWR | os.O_CLOEXEC))
    except PermissionError:
        return True
    except OSError:
        return False
    return False


if __name__ == "__main__":
    sys.exit(main())
