"""The numbers of generic netlink's family ``wireguard`` (``linux/wireguard.h``)."""

from enum import IntEnum, IntFlag
from typing import Final

FAMILY: Final = "wireguard"


class Command(IntEnum):
    """What is asked of the family."""

    GET_DEVICE = 0
    SET_DEVICE = 1


class DeviceAttribute(IntEnum):
    """What is told of an interface."""

    IFINDEX = 1
    IFNAME = 2
    PRIVATE_KEY = 3
    PUBLIC_KEY = 4
    FLAGS = 5
    LISTEN_PORT = 6
    FWMARK = 7
    PEERS = 8


class PeerAttribute(IntEnum):
    """What is told of a peer."""

    PUBLIC_KEY = 1
    PRESHARED_KEY = 2
    FLAGS = 3
    ENDPOINT = 4
    PERSISTENT_KEEPALIVE_INTERVAL = 5
    LAST_HANDSHAKE_TIME = 6
    RX_BYTES = 7
    TX_BYTES = 8
    ALLOWEDIPS = 9
    PROTOCOL_VERSION = 10


class AllowedIPAttribute(IntEnum):
    """What is told of an allowed IP."""

    FAMILY = 1
    IPADDR = 2
    CIDR_MASK = 3
    FLAGS = 4


class Flag(IntFlag):
    """What is to be done; the meaning of a number depends on what carries it."""

    REPLACE_PEERS = 1
    REMOVE_ME = 1
    REPLACE_ALLOWEDIPS = 2
    UPDATE_ONLY = 4
    REMOVE_ALLOWEDIP = 1
