"""Things found by what people call them: a name, an identifier, or the network of a pool."""

from __future__ import annotations

import re
from ipaddress import ip_network
from typing import TYPE_CHECKING, Final

from wirewright.client.api import segment
from wirewright.client.errors import ClientError

if TYPE_CHECKING:
    from collections.abc import Iterable

    from wirewright.client.api import Client, Data

_ID: Final = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}", re.ASCII)


class AmbiguousError(ClientError):
    """There are none, or several, of a name."""


def device(client: Client, text: str) -> Data:
    """Return a device."""
    if _ID.fullmatch(text):
        return client.get(f"/devices/{segment(text)}")
    return _only("device", text, client.pages("/devices", name=text))


def user(client: Client, text: str) -> Data:
    """Return a user."""
    if _ID.fullmatch(text):
        return client.get(f"/users/{segment(text)}")
    return _only("user", text, client.pages("/users", name=text))


def gateway(client: Client, text: str) -> Data:
    """Return a gateway."""
    if _ID.fullmatch(text):
        return client.get(f"/gateways/{segment(text)}")
    return _only("gateway", text, (each for each in client.pages("/gateways") if each["name"] == text))


def gateway_or_only(client: Client, text: str | None) -> str:
    """Return the identifier of a gateway, or of the only one there is."""
    if text is not None:
        return str(gateway(client, text)["id"])
    found = list(client.pages("/gateways"))
    if len(found) != 1:
        names = ", ".join(each["name"] for each in found[:10])
        raise AmbiguousError(f"Name the gateway: there are {names}." if found else "There is no gateway yet.")
    return str(found[0]["id"])


def invitation(client: Client, text: str) -> Data:
    """Return an invitation."""
    if _ID.fullmatch(text):
        return client.get(f"/invitations/{segment(text)}")
    found = (each for each in client.pages("/invitations") if each["name"] == text)
    return _only("invitation", text, found)


def pool(client: Client, text: str) -> Data:
    """Return a pool."""
    try:
        network = str(ip_network(text))
    except ValueError:
        network = ""
    found = (each for each in client.pages("/pools") if text == each["id"] or network == each["network"])
    return _only("pool", text, found)


def reservation(client: Client, text: str) -> Data:
    """Return a reservation, by its address or identifier."""
    found = (each for each in client.pages("/reservations") if text in {each["id"], each["address"]})
    return _only("reservation", text, found)


def names_of(client: Client, path: str) -> dict[str, str]:
    """Return the names of gateways or users by their identifiers."""
    return {each["id"]: each["name"] for each in client.pages(path)}


def _only(kind: str, text: str, found: Iterable[Data]) -> Data:
    items = list(found)
    if not items:
        raise AmbiguousError(f"There is no {kind} called {text!r}.")
    if len(items) > 1:
        listed = ", ".join(each["id"] for each in items[:10])
        raise AmbiguousError(f"Several are called {text!r}; name the {kind} by its identifier: {listed}.")
    return items[0]
