"""Keys and files that several tests use. The keys are the examples of wg(8) and wg-quick(8)."""

PRIVATE = "yAnz5TF+lXXJte14tji3zlMNq+hd2rYUIgJBgB3fBmk="
PUBLIC_OF_PRIVATE = "HIgo9xNzJMWLKASShiTqIybxZ0U3wGLiUeJ1PKf8ykw="
PRESHARED = "/UwcSPg38hW/D9Y3tcS1FOV0K1wuURMbS0sesJEP5ak="
ALICE = "xTIBA5rboUvnH4htodjb6e697QjLERt1NAB4mZqp8Dg="
BOB = "TrMvSoP4jYQlY6RIzBgbssQqY3vxI2Pi+y71lOWWXX0="
CAROL = "gN65BkIKy1eCE9pP1wdc8ROUtkHLF2PfAqYdyYBz6EA="
LOW_ORDER = "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA="

OFFICE = f"""\
# The office, as IT sent it.
[Interface]
PrivateKey = {PRIVATE}  # this machine's
Address = 10.200.100.8/24, fd00::8/64
DNS = 10.200.100.1, corp.example
MTU=1400

# The gateway
[Peer]
PublicKey = {ALICE}
PresharedKey = {PRESHARED}
AllowedIPs = 10.200.0.0/16
AllowedIPs = fd00::/64
Endpoint = vpn.example.com:51820
PersistentKeepalive = 25

[Peer]  # Bob
PublicKey = {BOB}
AllowedIPs = 10.201.0.0/16
"""


def with_interface(lines: str) -> str:
    return f"[Interface]\n{lines}\n"


def with_peer(lines: str) -> str:
    return f"[Interface]\n[Peer]\nPublicKey = {ALICE}\n{lines}\n"
