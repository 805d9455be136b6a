"""A certificate for tests, trusted by nobody else."""

from __future__ import annotations

import ssl
from datetime import UTC, datetime, timedelta
from functools import cache
from ipaddress import ip_address
from pathlib import Path
from tempfile import TemporaryDirectory

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from tests.tunnel.pairs import SERVER_V4

NAME = "secure.corp.example"


def self_signed(hostname: str, address: str) -> tuple[bytes, bytes]:
    """Return a certificate for a name and an IP address, and its key, both in PEM."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, hostname)])
    now = datetime.now(UTC)
    names = x509.SubjectAlternativeName([x509.DNSName(hostname), x509.IPAddress(ip_address(address))])
    certificate = (
        x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(names, critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .sign(key, hashes.SHA256())
    )
    secret = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    return certificate.public_bytes(serialization.Encoding.PEM), secret


def serving(certificate: bytes, secret: bytes) -> ssl.SSLContext:
    """Return a server's context with this certificate."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    with TemporaryDirectory() as directory:
        path = Path(directory) / "both.pem"
        path.write_bytes(certificate + secret)
        context.load_cert_chain(path)
    return context


@cache
def contexts() -> tuple[ssl.SSLContext, ssl.SSLContext]:
    """Return a server's context, for ``NAME`` and its address, and one of a client that trusts it."""
    certificate, secret = self_signed(NAME, SERVER_V4)
    return serving(certificate, secret), ssl.create_default_context(cadata=certificate.decode())
