"""From what the coordinator says of a tunnel to a wg-quick configuration, with a key that only we have."""

from __future__ import annotations

from collections.abc import Sequence
from ipaddress import ip_address, ip_interface, ip_network
from typing import TYPE_CHECKING, Any, Final

from wirewright.client.errors import ClientError
from wirewright.config import Config, Endpoint, Interface, Peer
from wirewright.keys import PublicKey

if TYPE_CHECKING:
    from collections.abc import Mapping

    from wirewright.config.values import IPNetwork
    from wirewright.keys import SecretKey

KEEPALIVE: Final = 25
"""Seconds: shorter than what address translators on the way remember."""
EVERYTHING: Final = "all"
DEVICES: Final = "pools"


class GatewayUnknownError(ClientError):
    """The gateway has not told its public key yet."""


def configuration(tunnel: Mapping[str, Any], key: SecretKey, allowed: Sequence[str]) -> Config:
    """Return a device's configuration.

    ``tunnel`` is what the API calls ``tunnel``. ``allowed`` says what goes through it: networks, ``all``, or
    ``pools`` for other devices and the gateway only. Raises `ClientError` for what cannot be used.
    """
    if tunnel.get("gateway_public_key") is None:
        raise GatewayUnknownError(
            "The gateway has not told its public key yet: it has never run. Repeat this once somebody has "
            "started it (ww gateway)."
        )
    try:
        addresses = tuple(ip_interface(text) for text in tunnel["addresses"])
        host, _, port = str(tunnel["endpoint"]).rpartition(":")
        endpoint = Endpoint(host.removeprefix("[").removesuffix("]"), int(port))
        servers = tuple(ip_address(text) for text in tunnel["dns"])
        mtu = tunnel["mtu"]
        interface = Interface(key, addresses, dns=servers, mtu=None if mtu is None else int(mtu))
        peer = Peer(
            PublicKey.from_base64(tunnel["gateway_public_key"]),
            allowed_ips=_networks(tunnel, allowed),
            endpoint=endpoint,
            persistent_keepalive=KEEPALIVE,
        )
    except (KeyError, TypeError, ValueError) as error:
        raise ClientError(f"The coordinator's answer is no tunnel: {error}.") from None
    return Config(interface, (peer,))


def check_allowed(allowed: Sequence[str]) -> None:
    """Raise `ValueError` for what `configuration` would not take as networks."""
    for text in allowed:
        if text not in {EVERYTHING, DEVICES}:
            ip_network(text)


def _networks(tunnel: Mapping[str, Any], allowed: Sequence[str]) -> tuple[IPNetwork, ...]:
    versions = {ip_interface(text).version for text in tunnel["addresses"]}
    found: list[IPNetwork] = []
    if not versions:
        # It will ask for addresses, of either family, at the gateway's address for that.
        found.append(ip_network("fe80::/128"))
        versions = {4, 6}
    for text in allowed:
        if text == EVERYTHING:
            # What there is no address of would lead nowhere.
            found += [ip_network(every) for every in ("0.0.0.0/0", "::/0")]
        elif text == DEVICES:
            found += [ip_network(pool) for pool in tunnel["pools"]]
        else:
            found.append(ip_network(text))
    return tuple(network for network in found if network.version in versions)
