"""Names for rows: UUIDs of version 7 (RFC 9562, section 5.7), which sort by the time of their making."""

from __future__ import annotations

import secrets
import uuid


def new_id(now: int) -> str:
    """Return a new identifier for something made at ``now`` (µs)."""
    value = (now // 1000 & (1 << 48) - 1) << 80 | secrets.randbits(80)
    value = value & ~(0xF << 76) | 0x7 << 76
    value = value & ~(0x3 << 62) | 0x2 << 62
    return str(uuid.UUID(int=value))
