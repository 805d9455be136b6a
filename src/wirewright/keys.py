"""Handles to keys.

A secret or preshared key lies in memory of the core, outside Python's heap, and is wiped when its last handle
goes. A handle is compared in constant time, is not hashable, is not pickled, and shows nothing of the key.
Only ``expose()`` copies the key into a Python string; CPython cannot wipe that string, nor the one that
``from_base64`` is given. Where that matters, read keys with :meth:`SecretKey.read` or from a file.

A public key is a plain value: hashable, ordered, and ``str(key)`` is its base64.
"""

from wirewright._core import PresharedKey, PublicKey, SecretKey

__all__ = ["PresharedKey", "PublicKey", "SecretKey"]
