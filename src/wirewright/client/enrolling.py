"""Enrolment: an invitation becomes a device, whose key is made here and leaves this machine never.

::

    (nothing) ──key──▶ FILE's draft ──POST──▶ the device exists ──write──▶ FILE; the draft goes

The key lies in a draft beside the file before the coordinator hears of it, under a name of the invitation's
own. So whatever is interrupted (an answer that is lost, a disk that is full, a power cut) is cured by
doing it again: the same invitation and the same key give the same device. A refusal takes the draft away.
"""

from __future__ import annotations

import re
from base64 import b64encode
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from wirewright.client import proof
from wirewright.client.access import checked_url
from wirewright.client.errors import AccessError, ClientError, RefusedError
from wirewright.client.secret_files import refuse_existing
from wirewright.client.tunnels import configuration
from wirewright.config import Config, Interface
from wirewright.keys import PublicKey, SecretKey

if TYPE_CHECKING:
    from wirewright.client.api import Client, Data

_INVITATION = re.compile(r"wwi_([a-z2-7]{16})_[a-z2-7]{32}", re.ASCII)
_FINAL: Final = frozenset({403, 404, 409, 422})
"""Refusals that asking again does not change; after others it is unknown whether the device was made."""


@dataclass(frozen=True, slots=True)
class Invitation:
    """A right to enrol, and where it is used, if that was said with it."""

    url: str | None
    public_id: str
    text: str = field(repr=False)

    @classmethod
    def parse(cls, text: str) -> Invitation:
        """Read ``wwi_…``, or a link that has it behind ``#``, unseen by any server; or raise AccessError."""
        where, mark, secret = text.strip().rpartition("#")
        match = _INVITATION.fullmatch(secret)
        if match is None:
            raise AccessError(
                "This is no invitation: one begins with wwi_, or is a link that ends with one behind a #."
            )
        return cls(checked_url(where) if mark else None, match[1], secret)

    def link(self, url: str) -> str:
        """Return the link to hand on, for a coordinator at ``url``."""
        return f"{url.rstrip('/')}/#{self.text}"


@dataclass(frozen=True, slots=True)
class Enrolled:
    """A device that is enrolled, and its configuration's file."""

    device: Data
    tunnel: Data
    file: Path


def enrol(
    client: Client,
    invitation: Invitation,
    name: str,
    file: Path,
    *,
    allowed: Sequence[str],
    replace: bool = False,
) -> Enrolled:
    """Use an invitation and write the configuration, readable by its owner only.

    Raises `ClientError`, `OSError`, and `FileExistsError` before anything else if there is a file that is not
    to be replaced. What was begun is gone on with when the same is called again.
    """
    refuse_existing(file, replace=replace)
    draft = file.with_name(f".{file.name}.{invitation.public_id}.enrolling")
    key = _drafted(draft)
    try:
        answer = client.enrol(_request(client, invitation, name, key))
    except RefusedError as error:
        if error.http_status in _FINAL:
            # Nothing was made, so nobody will ask for the key.
            draft.unlink(missing_ok=True)
        raise
    device, tunnel = _parts(answer, key)
    configuration(tunnel, key, allowed).write(file)
    draft.unlink(missing_ok=True)
    return Enrolled(device, tunnel, file)


def _drafted(draft: Path) -> SecretKey:
    """Return the key of an attempt before, or a new one that is on the disk."""
    with suppress(FileNotFoundError):
        key = Config.from_file(draft).interface.private_key
        if key is not None:
            return key
    key = SecretKey.generate()
    Config(Interface(key)).write(draft)
    return key


def _request(client: Client, invitation: Invitation, name: str, key: SecretKey) -> dict[str, object]:
    try:
        coordinator = PublicKey.from_base64(client.get("/enrolment")["public_key"])
        said = proof.message(invitation.public_id, key.public_key, coordinator, name)
        made = proof.prove(key, coordinator, said)
    except (KeyError, TypeError, ValueError) as error:
        raise ClientError(f"The coordinator has no key that anything can be proved to: {error}.") from None
    return {
        "invitation": invitation.text,
        "public_key": str(key.public_key),
        "name": name,
        "proof": b64encode(made).decode(),
    }


def _parts(answer: Data, key: SecretKey) -> tuple[dict[str, Any], dict[str, Any]]:
    device, tunnel = answer.get("device"), answer.get("tunnel")
    if not isinstance(device, dict) or not isinstance(tunnel, dict):
        raise ClientError("The coordinator's answer to an enrolment is none.")
    if device.get("public_key") != str(key.public_key):
        raise ClientError("The coordinator answered with another device than the one that was enrolled.")
    return device, tunnel
