"""Where the service listens."""

from __future__ import annotations

import errno
import shutil
import socket
import subprocess
from pathlib import Path

import pytest

from ferengine.errors import ServiceError, UsageError
from ferengine.service.server import Address, Tls


@pytest.mark.parametrize(
    ("text", "host", "port", "loopback"),
    [("127.0.0.1:8080", "127.0.0.1", 8080, True), ("localhost:0", "localhost", 0, True), ("[::1]:9", "::1", 9, True),
     ("0.0.0.0:80", "0.0.0.0", 80, False), ("[::]:80", "::", 80, False), ("cameras.example:1", "cameras.example", 1, False)],
)  # fmt: skip
def test_addresses(text: str, host: str, port: int, loopback: bool) -> None:
    address = Address.parse(text)
    assert (address.host, address.port, address.is_loopback) == (host, port, loopback)
    assert str(address) == text


@pytest.mark.parametrize("text", ["", "8080", ":8080", "host:", "host:x", "host:65536", "host:-1", "host:\N{SUPERSCRIPT TWO}"])
def test_what_is_no_address_is_refused(text: str) -> None:
    with pytest.raises(UsageError, match="HOST:PORT"):
        Address.parse(text)


def test_a_port_in_use_is_one_clear_line() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(ServiceError, match=rf"^127.0.0.1:{port} is in use: choose another port with --listen") as error:
            Address("127.0.0.1", port).bind()
    assert "\n" not in str(error.value)


def test_an_address_of_another_machine_is_refused() -> None:
    with pytest.raises(ServiceError, match=r"192.0.2.1:0 cannot be listened on"):
        Address("192.0.2.1", 0).bind()


def test_a_port_of_root_is_one_clear_line(monkeypatch: pytest.MonkeyPatch) -> None:
    def refused(*_: object) -> None:
        raise PermissionError(errno.EACCES, "Permission denied")

    monkeypatch.setattr(socket.socket, "bind", refused)  # tests run as root, who may
    with pytest.raises(ServiceError, match=r"^127.0.0.1:80: only root may listen on this port: choose one from 1024 on"):
        Address("127.0.0.1", 80).bind()


STRONG = "make it with RSA of 2048 bits or more and SHA-256"


@pytest.fixture(scope="module")
def pems(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A certificate, its key, that key encrypted, other keys, certificates that are too weak, and what is none."""
    if shutil.which("openssl") is None:
        pytest.skip("openssl is not installed")
    folder = tmp_path_factory.mktemp("pems")

    def openssl(*arguments: str) -> None:
        subprocess.run(["openssl", *arguments], cwd=folder, check=True, capture_output=True)

    openssl("req", "-x509", "-newkey", "rsa:2048", "-nodes", "-subj", "/CN=x", "-keyout", "key.pem", "-out", "chain.pem")
    openssl("genrsa", "-out", "other.pem", "2048")
    openssl("genpkey", "-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-256", "-out", "curve.pem")
    openssl("req", "-x509", "-newkey", "rsa:512", "-nodes", "-subj", "/CN=y", "-keyout", "short.key", "-out", "short.pem")
    openssl("req", "-new", "-key", "other.pem", "-subj", "/CN=z", "-out", "other.csr")
    for name, digest, authority, its_key in (("md5", "-md5", "chain", "key.pem"), ("leaf", "-sha256", "short", "short.key")):
        openssl("x509", "-req", "-in", "other.csr", digest, "-CA", f"{authority}.pem", "-CAkey", its_key, "-CAcreateserial",
                "-out", f"{name}.pem")  # fmt: skip
    (folder / "short_chain.pem").write_text((folder / "leaf.pem").read_text() + (folder / "short.pem").read_text())
    openssl("pkey", "-in", "key.pem", "-aes256", "-passout", "pass:secret", "-out", "encrypted.pem")
    (folder / "text.pem").write_text("no PEM\n")
    return folder


@pytest.mark.parametrize(
    ("certificate", "key", "reason"),
    [
        ("gone.pem", "key.pem", "certificate {certificate} cannot be read: No such file or directory"),
        ("chain.pem", "gone.pem", "key {key} cannot be read: No such file or directory"),
        ("text.pem", "key.pem", "certificate {certificate} holds no certificate in PEM"),
        ("key.pem", "chain.pem", "certificate {certificate} holds no certificate in PEM"),
        ("chain.pem", "text.pem", "key {key} holds no private key in PEM"),
        ("chain.pem", "other.pem", "key {key} is not that of the certificate {certificate}"),
        ("chain.pem", "curve.pem", "key {key} is not that of the certificate {certificate}"),
        ("short.pem", "short.key", f"certificate {{certificate}} is refused by OpenSSL, since its key is too short: {STRONG}"),
        (
            "short_chain.pem",
            "other.pem",
            "certificate {certificate} is refused by OpenSSL, since the key of an authority in its chain is too short: "
            + STRONG,
        ),
        (
            "md5.pem",
            "other.pem",
            f"certificate {{certificate}} is refused by OpenSSL, since it is signed with a weak hash such as SHA-1: {STRONG}",
        ),
        (
            "chain.pem",
            "encrypted.pem",
            "key {key} is encrypted: write it without a pass phrase (openssl pkey -in {key} -out FILE)",
        ),
    ],
)
def test_the_file_of_tls_that_cannot_be_used_is_named(pems: Path, certificate: str, key: str, reason: str) -> None:
    tls = Tls(pems / certificate, pems / key)
    with pytest.raises(ServiceError) as error:
        tls.check()
    assert str(error.value) == "the TLS " + reason.format(certificate=tls.certificate, key=tls.key)


def test_a_certificate_and_its_key_are_taken(pems: Path) -> None:
    Tls(pems / "chain.pem", pems / "key.pem").check()
