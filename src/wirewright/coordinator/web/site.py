"""Where the page is served: the names it answers to, and whether its cookies cross nothing but TLS."""

from __future__ import annotations

from dataclasses import dataclass
from ipaddress import ip_address
from urllib.parse import urlsplit


@dataclass(frozen=True, slots=True)
class Site:
    """What the page is told of itself at its start."""

    public_url: str | None = None
    """Where people find it, without a slash at the end."""
    secure: bool = False
    """Whether it is reached over TLS, by itself or through a proxy; if not, on the loopback only."""

    instance: str = ""
    """What tells it from other coordinators of the same host, whose cookies browsers send to each."""

    def knows(self, host: str) -> bool:
        """Whether a ``Host`` header names this site.

        A page elsewhere may have its name lead here (DNS rebinding), and would then be of the same origin as
        ours. Its name is all that tells it, so no name is taken but that of the public URL and
        ``localhost``. An address is no name, and needs nobody who could lead it elsewhere.
        """
        if self.public_url is not None and host.lower() == urlsplit(self.public_url).netloc.lower():
            return True
        name = _without_port(host)
        if name is None:
            return False
        if self.public_url is not None and self.secure:
            return is_loopback(name)
        return name == "localhost" or is_address(name)

    def cookie_name(self, name: str) -> str:
        """Return the name of a cookie of ours; browsers hold ``__Host-`` to TLS and this one host."""
        return ("__Host-" if self.secure else "") + name + (f"-{self.instance}" if self.instance else "")


def is_loopback(name: str) -> bool:
    """Whether a name in a URL is this machine's loopback."""
    return name == "localhost" or (is_address(name) and ip_address(name).is_loopback)


def is_address(name: str) -> bool:
    """Whether a name in a URL, without brackets, is an address."""
    try:
        ip_address(name)
    except ValueError:
        return False
    return True


def _without_port(host: str) -> str | None:
    """Return the name in a ``Host`` header; ``None`` for what is none."""
    if any(character in host for character in "/?#@\\ ") or not host:
        return None
    try:
        split = urlsplit(f"//{host}")
        _ = split.port
    except ValueError:
        return None
    return split.hostname
