"""WireGuard networks, wrought in Python."""

# As a checker of types knows it; `typing` would be there for nothing else.
TYPE_CHECKING = False

if TYPE_CHECKING:
    from wirewright._core import __version__
    from wirewright.config import Config, ConfigError
    from wirewright.keys import PresharedKey, PublicKey, SecretKey
    from wirewright.tunnel import BlockingTunnel, Forwarding, Tunnel, TunnelClosed, TunnelError

# Imported when first used, so that `import wirewright` and the command line start at once.
_HOMES = {
    "BlockingTunnel": "wirewright.tunnel",
    "Config": "wirewright.config",
    "ConfigError": "wirewright.config",
    "Forwarding": "wirewright.tunnel",
    "PresharedKey": "wirewright.keys",
    "PublicKey": "wirewright.keys",
    "SecretKey": "wirewright.keys",
    "Tunnel": "wirewright.tunnel",
    "TunnelClosed": "wirewright.tunnel",
    "TunnelError": "wirewright.tunnel",
    "__version__": "wirewright._core",
}

__all__ = [
    "BlockingTunnel",
    "Config",
    "ConfigError",
    "Forwarding",
    "PresharedKey",
    "PublicKey",
    "SecretKey",
    "Tunnel",
    "TunnelClosed",
    "TunnelError",
    "__version__",
]


def __getattr__(name: str) -> object:
    from importlib import import_module  # noqa: PLC0415 - not needed until a name is

    home = _HOMES.get(name)
    if home is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(import_module(home), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
