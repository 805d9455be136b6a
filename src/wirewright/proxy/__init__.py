"""SOCKS 5 and HTTP proxies and port forwards through a rootless tunnel."""

from wirewright.proxy.client import Limits
from wirewright.proxy.credentials import Credentials, CredentialsError
from wirewright.proxy.listeners import (
    Exposure,
    HttpProxy,
    Listener,
    LocalForward,
    OpenToOthersError,
    Socks5Proxy,
)

__all__ = [
    "Credentials",
    "CredentialsError",
    "Exposure",
    "HttpProxy",
    "Limits",
    "Listener",
    "LocalForward",
    "OpenToOthersError",
    "Socks5Proxy",
]
