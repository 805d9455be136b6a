"""What can go wrong with a tunnel, in words for the person who must do something about it.

Every class is an ``OSError`` and, where programs already catch something more exact (``TimeoutError``,
``ConnectionRefusedError``, ``socket.gaierror``), that too: code written for plain sockets keeps working.
"""

from __future__ import annotations

import errno as errnos
import os
import socket
from typing import ClassVar


class TunnelError(OSError):
    """Base of every error that a tunnel raises by itself; ``str()`` is the sentence for a person."""

    default_errno: ClassVar[int | None] = None

    def __init__(self, message: str, *, errno: int | None = None) -> None:
        super().__init__(errno if errno is not None else self.default_errno, message)

    def __str__(self) -> str:
        return str(self.strerror)


class TunnelClosed(TunnelError, ConnectionAbortedError):  # noqa: N818 (a state that was found, like StopIteration)
    """The tunnel is closed: by its owner, by a failure of its threads, or because this is a forked child."""

    default_errno = errnos.ECONNABORTED


class EndpointError(TunnelError, socket.gaierror):
    """A peer's endpoint, a host name outside the tunnel, could not be resolved."""

    default_errno = socket.EAI_NONAME


class NoRouteError(TunnelError):
    """No peer's allowed IPs cover the destination, so there is no key to encrypt with."""

    default_errno = errnos.ENETUNREACH


class NoEndpointError(TunnelError):
    """The peer that owns the destination has no known endpoint yet."""

    default_errno = errnos.EDESTADDRREQ


class HandshakeTimeoutError(TunnelError, TimeoutError):
    """The peer did not answer the handshake."""

    default_errno = errnos.ETIMEDOUT


class ImpossiblePeerError(TunnelError):
    """The peer's public key is such that no handshake with it can succeed."""

    default_errno = errnos.EINVAL


class ConnectTimeoutError(TunnelError, TimeoutError):
    """The destination behind the tunnel did not answer."""

    default_errno = errnos.ETIMEDOUT


class RefusedError(TunnelError, ConnectionRefusedError):
    """The destination answered that nothing listens on that port."""

    default_errno = errnos.ECONNREFUSED


class UnreachableError(TunnelError):
    """Somebody on the way answered that the destination cannot be reached."""

    default_errno = errnos.EHOSTUNREACH


class AddressError(TunnelError):
    """A local address or port cannot be used: taken, or not one of the tunnel's."""

    default_errno = errnos.EADDRINUSE


class PingTimeoutError(TunnelError, TimeoutError):
    """The host behind the tunnel did not answer the echo request."""

    default_errno = errnos.ETIMEDOUT


class ResolutionError(TunnelError, socket.gaierror):
    """A name could not be resolved inside the tunnel."""

    default_errno = socket.EAI_FAIL


class NameNotFoundError(ResolutionError):
    """The name servers answered: there is no such name, or it has no address of a usable family."""

    default_errno = socket.EAI_NONAME


class NoNameserverError(ResolutionError):
    """The configuration names no DNS server; names are not leaked to the system's resolver."""

    default_errno = socket.EAI_FAIL


class ResolutionTimeoutError(ResolutionError, TimeoutError):
    """No name server answered in time."""

    default_errno = socket.EAI_AGAIN


def connect_error(error: OSError, destination: str) -> OSError:  # noqa: PLR0911 (one a case)
    """Translate an error of the core about ``destination`` ("10.0.0.1 port 80") for a person."""
    if isinstance(error, TunnelError):
        return error
    match error.errno:
        case errnos.ECONNREFUSED:
            return RefusedError(f"{destination} refused the connection: nothing listens there.")
        case errnos.ETIMEDOUT:
            return ConnectTimeoutError(
                f"{destination} did not answer. Is the host up, and does it (or a firewall before it) let "
                "this tunnel's address in?"
            )
        case errnos.ENETUNREACH | errnos.EHOSTUNREACH:
            return UnreachableError(
                f"{destination} is unreachable: {_text(error)}. A router behind the tunnel says so.",
                errno=error.errno,
            )
        case errnos.ECONNRESET:
            return ConnectionResetError(error.errno, f"{destination} reset the connection")
        case errnos.EMFILE | errnos.ENFILE | errnos.ENOBUFS:
            return TunnelError(
                f"No room for another connection to {destination}: the tunnel's limit of open connections "
                "is reached. Close some first.",
                errno=error.errno,
            )
        case errnos.EADDRINUSE:
            return AddressError(f"The local port for {destination} is in use by another connection.")
        case _:
            return TunnelError(f"{destination}: {_text(error)}.", errno=error.errno)


def stream_error(code: int, peer: str) -> OSError:
    """Return the error by which an established connection with ``peer`` ended, from its errno."""
    match code:
        case errnos.ECONNRESET:
            return ConnectionResetError(code, f"{peer} reset the connection")
        case errnos.ETIMEDOUT:
            return ConnectTimeoutError(f"{peer} stopped answering; the connection was given up.")
        case errnos.ECONNABORTED:
            return ConnectionAbortedError(code, f"the connection with {peer} was given up on this side")
        case _:
            return OSError(code, f"connection with {peer} lost: {os.strerror(code)}")


def _text(error: OSError) -> str:
    return error.strerror or (os.strerror(error.errno) if error.errno else str(error))
