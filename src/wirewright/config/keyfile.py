"""A file that holds one key and nothing else, or nothing at all."""

import os

from wirewright._core import HiddenText
from wirewright.config.parts import SPACE
from wirewright.config.source import read_source
from wirewright.keys import PresharedKey, SecretKey


def read_secret_key(path: str | os.PathLike[str]) -> SecretKey | None:
    """Read a private key; None if the file is empty. Raises OSError and ValueError."""
    hidden = _read(path)
    return None if hidden is None else hidden.secret_key()


def read_preshared_key(path: str | os.PathLike[str]) -> PresharedKey | None:
    """Read a preshared key; None if the file is empty. Raises OSError and ValueError."""
    hidden = _read(path)
    return None if hidden is None else hidden.preshared_key()


def _read(path: str | os.PathLike[str]) -> HiddenText | None:
    text = read_source(path).text
    match text.parts(text.text.strip(SPACE)):
        case ():
            return None
        case (HiddenText() as hidden,):
            return hidden
        case _:
            raise ValueError("the file holds something else than one key")
