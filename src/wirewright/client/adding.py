"""A device whose key is made here, and its configuration, for who may add devices without an invitation."""

from __future__ import annotations

import errno
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from wirewright.client.errors import ClientError
from wirewright.client.secret_files import refuse_existing
from wirewright.client.tunnels import check_allowed, configuration
from wirewright.config import Config, Interface
from wirewright.keys import SecretKey

if TYPE_CHECKING:
    from wirewright.client.api import Client, Data

__all__ = ["add_with_key", "check_allowed"]


def add_with_key(
    client: Client,
    body: Mapping[str, object],
    file: Path,
    *,
    allowed: Sequence[str],
    replace: bool = False,
) -> Data:
    """Make a key, add the device, write its configuration; a device without its file is removed again."""
    refuse_existing(file, replace=replace)
    if file.is_dir():
        raise IsADirectoryError(errno.EISDIR, "this is a folder: name a file in it", str(file))
    key = SecretKey.generate()
    draft = file.with_name(f".{file.name}.adding")
    # That there is room for a file is seen before the coordinator is asked.
    try:
        Config(Interface(key)).write(draft)
    except OSError as error:
        raise OSError(error.errno or errno.EIO, error.strerror or str(error), str(file)) from None
    try:
        made = client.create("/devices", {**body, "public_key": str(key.public_key)})
        try:
            configuration(client.get(f"/devices/{made['id']}/tunnel"), key, allowed).write(file)
        except (ClientError, OSError, KeyboardInterrupt):
            client.remove(f"/devices/{made['id']}")
            raise
    finally:
        draft.unlink(missing_ok=True)
    return made
