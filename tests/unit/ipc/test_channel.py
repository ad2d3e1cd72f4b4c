"""Control messages: kept and sent in order when the peer's queue is full, refused when the peer is gone."""

from __future__ import annotations

import fcntl
import os
import resource
import select
import socket
from collections.abc import Iterator

import pytest

from ferengine.ipc.channel import MAX_DESCRIPTORS, ControlChannel, data_pair, receive_data, send_data

Pair = tuple[ControlChannel, ControlChannel]


@pytest.fixture
def pair() -> Iterator[Pair]:
    here, there = ControlChannel.pair()
    other = ControlChannel(there)
    yield here, other
    here.close()
    other.close()


def fill(channel: ControlChannel, size: int = 1 << 16) -> int:
    """Send numbered messages until some have to wait; how many were sent in all."""
    count = 0
    while channel.unsent < 3:
        channel.send(f"{count:08}".encode().ljust(size))
        count += 1
    return count


def numbers(messages: list[tuple[bytes, list[int]]]) -> list[int]:
    return [int(data[:8]) for data, _ in messages]


def test_a_full_queue_keeps_messages_in_order(pair: Pair) -> None:
    here, there = pair
    blocked: list[int] = []
    here.on_blocked = lambda: blocked.append(here.unsent)
    count = fill(here)
    assert blocked == [1]
    assert not here.flush()
    received: list[int] = []
    while len(received) < count:
        received += numbers(there.receive())
        here.flush()
    assert received == list(range(count))
    assert here.unsent == 0


def test_a_later_message_never_overtakes_one_that_waits(pair: Pair) -> None:
    here, there = pair
    count = fill(here)
    received = numbers(there.receive())  # there is room again
    here.send(f"{count:08}".encode())
    while len(received) < count + 1:
        here.flush()
        received += numbers(there.receive())
    assert received == list(range(count + 1))


def test_the_socket_is_writable_when_there_is_room_for_what_waits(pair: Pair) -> None:
    here, there = pair
    fill(here)
    assert select.select([], [here], [], 0)[1] == []
    there.receive()
    assert select.select([], [here], [], 10)[1] == [here]
    assert here.flush()


def test_draining_waits_a_bounded_time(pair: Pair) -> None:
    here, there = pair
    fill(here)
    assert not here.drain(0.05)
    there.receive()
    assert here.drain(10)


def test_descriptors_of_a_message_that_waits_may_be_closed(pair: Pair) -> None:
    here, there = pair
    count = fill(here)
    reader, writer = os.pipe()
    here.send(f"{count:08}".encode(), [writer])
    os.close(writer)
    messages: list[tuple[bytes, list[int]]] = []
    while len(messages) < count + 1:
        messages += there.receive()
        here.flush()
    [descriptor] = messages[-1][1]
    assert not os.get_inheritable(descriptor)
    os.write(descriptor, b"through")
    os.close(descriptor)
    assert os.read(reader, 16) == b"through"
    assert os.read(reader, 16) == b""  # all duplicates have been closed
    os.close(reader)


def test_a_peer_that_is_gone_is_another_matter(pair: Pair) -> None:
    here, there = pair
    fill(here)
    there.close()
    with pytest.raises(ConnectionError, match="gone"):
        here.flush()


def test_sending_and_receiving_without_a_peer() -> None:
    here, there = ControlChannel.pair()
    there.close()
    with pytest.raises(ConnectionError, match="gone"):
        here.send(b"{}")
    with pytest.raises(EOFError):
        here.receive()
    here.close()


def test_what_was_sent_before_the_end_is_received() -> None:
    here, there = ControlChannel.pair()
    there.send(b"last words")
    there.close()
    assert here.receive() == [(b"last words", [])]
    with pytest.raises(EOFError):
        here.receive()
    here.close()


def test_as_many_descriptors_as_a_message_carries(pair: Pair) -> None:
    here, there = pair
    null = os.open(os.devnull, os.O_RDONLY)
    here.send(b"{}", [null] * MAX_DESCRIPTORS)
    [(_, descriptors)] = there.receive()
    assert len(set(descriptors)) == MAX_DESCRIPTORS
    for descriptor in [null, *descriptors]:
        os.close(descriptor)
    with pytest.raises(ValueError, match="too large"):
        here.send(b"{}", [0] * (MAX_DESCRIPTORS + 1))
    with pytest.raises(ValueError, match="too large"):
        here.send(b"x" * (1 << 19))


def test_data_sockets_say_when_they_are_full() -> None:
    writer, reader = data_pair()
    assert receive_data(reader) is None
    sent = 0
    while send_data(writer, sent.to_bytes(4, "little") * 1000):
        sent += 1
    for number in range(sent):
        data = receive_data(reader)
        assert data is not None
        assert int.from_bytes(data[:4], "little") == number
    assert receive_data(reader) is None
    writer.close()
    reader.close()


def test_sockets_do_not_block() -> None:
    here, there = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    channel = ControlChannel(here)
    assert channel.receive() == []
    channel.close()
    there.close()


def test_last_messages_arrive_though_the_peer_left_some_unread(pair: Pair) -> None:
    here, there = pair
    here.send(b"unread")
    there.send(b"Failed: with the hint")
    there.close()
    assert here.receive() == [(b"Failed: with the hint", [])]
    with pytest.raises(EOFError):
        here.receive()


def test_descriptors_above_1023_can_be_waited_for(pair: Pair) -> None:
    here, there = pair
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard != resource.RLIM_INFINITY and hard < 1100:
        pytest.skip("this machine allows fewer than 1100 open files")
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, 1100), hard))
    try:
        high = socket.socket(fileno=fcntl.fcntl(there.fileno(), fcntl.F_DUPFD_CLOEXEC, 1050))
        channel = ControlChannel(high)
        try:
            here.send(b"hello")
            channel.wait()
            assert channel.receive() == [(b"hello", [])]
            count = fill(channel)
            assert not channel.drain(0.01)
            assert count > 3
        finally:
            channel.close()
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
