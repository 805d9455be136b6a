"""What can stand for an argument, as a shell completes it."""

from pathlib import Path

DIRECTORY = Path("/etc/wireguard")
WHAT = (
    "public-key",
    "private-key",
    "listen-port",
    "fwmark",
    "peers",
    "preshared-keys",
    "endpoints",
    "allowed-ips",
    "latest-handshakes",
    "persistent-keepalive",
    "transfer",
    "dump",
)
"""What `ww show` can be asked for, as a column or all."""


def _beginning(found: list[str], incomplete: str) -> list[str]:
    return [each for each in found if each.startswith(incomplete)]


def interfaces(incomplete: str) -> list[str]:
    """Give the interfaces that are there."""
    from wirewright.tunnel.system import interfaces as found  # noqa: PLC0415 - loads the core

    try:
        return _beginning(found(), incomplete)
    except OSError:
        return []


def shown_interfaces(incomplete: str) -> list[str]:
    """Give what `ww show` takes first."""
    return [*interfaces(incomplete), *_beginning(["all", "interfaces"], incomplete)]


def shown_things(incomplete: str) -> list[str]:
    """Give what `ww show` takes second."""
    return _beginning(list(WHAT), incomplete)


def configurations(incomplete: str) -> list[str]:
    """Give the names of the files in /etc/wireguard, and files that end in .conf from here on."""
    try:
        names = sorted(path.stem for path in DIRECTORY.glob("*.conf"))
    except OSError:
        names = []
    return [*_beginning(names, incomplete), *files(incomplete, ".conf")]


def files(incomplete: str, suffix: str = "") -> list[str]:
    """Give the files and directories that begin so; directories end in a slash."""
    folder, slash, beginning = incomplete.rpartition("/")
    found = []
    try:
        for path in sorted(Path(folder + slash or ".").iterdir()):
            hidden = path.name.startswith(".") and not beginning.startswith(".")
            if hidden or not path.name.startswith(beginning):
                continue
            if path.is_dir():
                found.append(f"{folder}{slash}{path.name}/")
            elif path.name.endswith(suffix):
                found.append(f"{folder}{slash}{path.name}")
    except OSError:
        pass
    return found


def any_files(incomplete: str) -> list[str]:
    """Give any files."""
    return files(incomplete)


def words_of_set(incomplete: str) -> list[str]:
    """Give the words that `ww set` knows."""
    known = ["listen-port", "fwmark", "private-key", "peer", "remove", "preshared-key", "endpoint"]
    return _beginning([*known, "persistent-keepalive", "allowed-ips"], incomplete)
