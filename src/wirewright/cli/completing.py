"""What can stand for an argument, as a shell completes it; where that is nothing, it completes files."""

import os
from pathlib import Path

import typer

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
OF_INTERFACE = ("listen-port", "fwmark", "private-key", "peer")
OF_PEER = ("remove", "preshared-key", "endpoint", "persistent-keepalive", "allowed-ips", "peer")
"""What `ww set` can be told, before the first peer and behind it."""
ROLES = ("admin", "operator", "member")
SCOPES = (
    "admin",
    "devices:read",
    "devices:write",
    "invitations:read",
    "invitations:write",
    "users:read",
    "users:write",
    "tokens:read",
    "tokens:write",
    "logins:read",
    "logins:write",
    "gateways:read",
    "gateways:write",
    "addresses:read",
    "addresses:write",
    "audit:read",
    "metrics:read",
)
"""What the coordinator knows, for users and tokens."""


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
    """Give the names of the files in /etc/wireguard."""
    try:
        return _beginning(sorted(path.stem for path in DIRECTORY.glob("*.conf")), incomplete)
    except OSError:
        return []


def words_of_set(ctx: typer.Context, incomplete: str) -> list[str]:
    """Give the words that `ww set` knows, and keys of peers behind ``peer``."""
    interface, words = ctx.params.get("interface"), ctx.params.get("words") or []
    last = words[-1] if words else ""
    if last == "peer":
        return _beginning(_peers(str(interface)), incomplete)
    if last in ("private-key", "preshared-key"):
        return []
    return _beginning(list(OF_PEER if "peer" in words else OF_INTERFACE), incomplete)


def roles(incomplete: str) -> list[str]:
    """Give the roles of users."""
    return _beginning(list(ROLES), incomplete)


def scopes(incomplete: str) -> list[str]:
    """Give the scopes of tokens."""
    return _beginning(list(SCOPES), incomplete)


def devices(incomplete: str) -> list[str]:
    """Give the names of devices of the coordinator that the environment leads to."""
    return _beginning(_names("/devices"), incomplete)


def users(incomplete: str) -> list[str]:
    """Give the names of its users."""
    return _beginning(_names("/users"), incomplete)


def registered_gateways(incomplete: str) -> list[str]:
    """Give the names of its gateways."""
    return _beginning(_names("/gateways"), incomplete)


def invitations(incomplete: str) -> list[str]:
    """Give the names of its invitations."""
    return _beginning(_names("/invitations"), incomplete)


def _names(path: str) -> list[str]:
    """Ask for the first page of a list; nobody who completes a word is to wait for more."""
    try:
        from wirewright.client import Access, Client  # noqa: PLC0415 - loads the core

        with Client(Access.find(None, None, None, None, os.environ), attempts=1, patience=2) as client:
            return [each["name"] for each in client.get(path, limit=200)["items"]]
    except (ImportError, OSError):
        return []


def _peers(interface: str) -> list[str]:
    from wirewright.tunnel.system import Interface  # noqa: PLC0415 - loads the core

    try:
        return [str(peer.public_key) for peer in Interface(interface).state().peers]
    except OSError:
        return []
