"""``ww genpsk``."""

from wirewright.cli.output import descriptor_for_secret


def genpsk() -> None:
    """Make a preshared key and write it out."""
    from wirewright.keys import PresharedKey  # noqa: PLC0415 - loads the core

    PresharedKey.generate().write(descriptor_for_secret())
