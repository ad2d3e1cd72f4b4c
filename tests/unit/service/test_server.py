"""Where the service listens."""

from __future__ import annotations

import socket

import pytest

from ferengine.errors import ServiceError, UsageError
from ferengine.service.server import Address


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
