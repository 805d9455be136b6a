"""``ww genkey``."""

from wirewright.cli.output import descriptor_for_secret


def genkey() -> None:
    """Make a private key and write it out."""
    from wirewright.keys import SecretKey  # noqa: PLC0415 - loads the core

    SecretKey.generate().write(descriptor_for_secret())
