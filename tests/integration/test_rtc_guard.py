"""Packets from strangers: whoever knows our ports can send us anything, and no call may notice."""

from __future__ import annotations

import asyncio
import os
import random
import re
import socket
import struct
from collections.abc import Callable

import pytest
from aioice import stun

from media_gateway.transports.rtc_guard import MAX_PAIRS
from media_gateway.transports.rtc_peer import RtcPeer
from tests.conftest import until
from tests.rtc_client import Client, Ear, answering, connected

Address = tuple[str, int]


def client_hello() -> bytes:
    """A ClientHello that offers no cipher that anybody would take."""
    body = b"\xfe\xfd" + os.urandom(32) + b"\0\0" + b"\0\2\0\0" + b"\1\0"
    size = len(body).to_bytes(3, "big")
    message = b"\x01" + size + b"\0\0" + b"\0\0\0" + size + body
    return b"\x16\xfe\xff" + bytes(8) + len(message).to_bytes(2, "big") + message


def forged_check(ufrags: str, password: str = "guessed", nominate: bool = True) -> bytes:
    """A connectivity check with a password that is not ours."""
    request = stun.Message(stun.Method.BINDING, stun.Class.REQUEST)
    request.attributes = {"USERNAME": ufrags, "PRIORITY": 1, "ICE-CONTROLLING": 1}
    if nominate:
        request.attributes["USE-CANDIDATE"] = None
    request.add_message_integrity(password.encode())
    return bytes(request)


def broken_stun() -> list[bytes]:
    """Messages of a right length whose attributes are not: each kind of them, too short and too long."""
    found = []
    for kind in (*range(1, 0x30), 0x8022, 0x8028, 0x8029, 0x802A):
        for size in (0, 1, 3, 4, 5, 8, 12, 40):
            attribute = struct.pack("!HH", kind, size) + bytes(size + -size % 4)
            found.append(struct.pack("!HHI12s", 1, len(attribute), 0x2112A442, os.urandom(12)) + attribute)
    return found


ALERT = b"\x15\xfe\xfd" + bytes(8) + b"\0\2" + b"\2\x28"
CLOSE_OF_EPOCH_0 = b"\x15\xfe\xfd" + bytes(8) + b"\0\2" + b"\1\0"
CLOSE_OF_EPOCH_1 = b"\x15\xfe\xfd" + b"\0\1" + bytes(6) + b"\0\2" + b"\1\0"
MODES: dict[str, Callable[[], list[bytes]]] = {
    "empty": lambda: [b""],
    "junk": lambda: [os.urandom(size) for size in range(1, 400)],
    "srtp": lambda: [bytes([0x80, 96]) + os.urandom(100) for _ in range(300)],
    "srtp-opus": lambda: [bytes([0x80, 96]) + struct.pack("!HII", n, 960 * n, 7) + bytes(40) for n in range(300)],
    "srtcp-bye": lambda: [b"\x81\xcb\0\1" + os.urandom(4) + os.urandom(14) for _ in range(100)],
    "alert": lambda: [ALERT] * 50,
    "close": lambda: [CLOSE_OF_EPOCH_0, CLOSE_OF_EPOCH_1] * 50,
    "client-hello": lambda: [client_hello() for _ in range(50)],
    "server-hello": lambda: [b"\x16\xfe\xfd" + bytes(8) + b"\0\x0c\2" + bytes(11)] * 50,
    "application-data": lambda: [b"\x17\xfe\xfd\0\1" + os.urandom(8) + b"\0\x20" + os.urandom(32)] * 20,
    "short": lambda: [b"\x80", b"\x80\xc8", b"\x16", b"\x14\xfe", b"\0", b"\0\1\0\0"] * 5,
    "huge": lambda: [bytes([first]) + os.urandom(9000) for first in (0, 1, 22, 63, 128, 191, 255)],
    "broken-stun": broken_stun,
    "turn-channel": lambda: [b"\x40\0\0\4abcd", b"\x4f\xff\xff\xff"] * 10,
}


class Stranger:
    """Somebody on a third address who has learned our ports."""

    def __init__(self, answer: str) -> None:
        self.ports = [("127.0.0.1", int(port)) for port in re.findall(r"a=candidate:.* 127\.0\.0\.1 (\d+) ", answer)]
        assert self.ports
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._socket.bind(("127.0.0.1", 0))
        self._socket.setblocking(False)

    def send(self, packets: list[bytes]) -> None:
        for address in self.ports:
            for packet in packets:
                self._socket.sendto(packet, address)

    def heard(self) -> list[bytes]:
        found = []
        while True:
            try:
                found.append(self._socket.recv(2048))
            except BlockingIOError:
                return found

    def close(self) -> None:
        self._socket.close()


async def still_talks(client: Client, peer: RtcPeer, ear: Ear) -> None:
    """Packets get through both ways as before, and none but the client's."""
    ours, theirs = len(ear.packets), len(client.heard)

    def enough() -> bool:
        peer.send(b"\x48still here")
        return len(ear.packets) > ours + 10 and len(client.heard) > theirs + 10

    await until(enough, within_s=5)
    assert ear.payloads() <= client.packets
    assert {packet.payload for packet in client.heard} == {b"\x48still here"}
    assert ear.states == ["connecting", "connected"]


@pytest.mark.parametrize("mode", MODES)
async def test_a_call_goes_on_whatever_strangers_send(mode: str) -> None:
    ear, client = Ear(), Client()
    async with answering(ear) as peer:
        answer = await peer.answer(await client.offer())
        stranger = Stranger(answer)
        await client.take(answer)
        await until(lambda: ear.packets)
        strays = peer.strays
        for _ in range(3):
            stranger.send(MODES[mode]())
            await asyncio.sleep(0.01)
        await still_talks(client, peer, ear)
        assert peer.strays > strays
        assert not stranger.heard()
        await client.close()
        stranger.close()


@pytest.mark.parametrize("mode", [*MODES, "everything"])
@pytest.mark.parametrize("setup", ["active", "passive"])
async def test_a_call_is_set_up_whatever_strangers_send_meanwhile(mode: str, setup: str) -> None:
    modes = list(MODES) if mode == "everything" else [mode]
    ear, client = Ear(), Client()
    async with answering(ear) as peer:
        offer = await client.offer()
        if setup == "passive":  # the client insists on beginning the handshake itself
            offer = offer.replace("a=setup:actpass", "a=setup:active")
        answer = await peer.answer(offer)
        assert f"a=setup:{setup}" in answer
        stranger = Stranger(answer)
        over = asyncio.Event()

        async def blast() -> None:
            while not over.is_set():
                for each in modes:
                    packets = MODES[each]()
                    stranger.send(random.sample(packets, min(len(packets), 20 // len(modes))))
                await asyncio.sleep(0.003)

        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(blast())
            await asyncio.sleep(0.02)  # before the client comes
            await client.take(answer)
            await until(lambda: ear.packets, within_s=10)
            over.set()
        await still_talks(client, peer, ear)
        await client.close()
        stranger.close()


async def test_checks_without_the_password_are_neither_answered_nor_believed() -> None:
    ear, client = Ear(), Client()
    async with answering(ear) as peer:
        answer = await peer.answer(await client.offer())
        stranger = Stranger(answer)
        ours, theirs = peer._ice.local_username, peer._ice.remote_username
        stranger.send([forged_check(f"{ours}:{theirs}"), forged_check("a:b"), forged_check(f"{ours}:x")])
        await client.take(answer)
        await until(lambda: ear.packets)
        stranger.send([forged_check(f"{ours}:{theirs}") for _ in range(50)] + MODES["srtp"]())
        await still_talks(client, peer, ear)
        assert not stranger.heard()
        assert not peer._ice.knows(stranger._socket.getsockname())
        await client.close()
        stranger.close()


async def test_not_even_packets_with_the_clients_own_address_on_them_end_a_call() -> None:
    async with connected() as (client, peer, ear):
        pair = peer._ice._nominated[1]
        captured: list[bytes] = []
        arrived = peer._ice.arrived

        def tap(door: object, data: bytes, address: Address) -> None:
            captured.append(data)
            arrived(pair.protocol, data, address)  # type: ignore[arg-type]

        peer._ice.arrived = tap  # type: ignore[method-assign]
        await until(lambda: len(captured) > 10)
        before, replayed = len(ear.packets), list(captured)
        for data in [packet for mode in MODES.values() for packet in mode()] + replayed:
            arrived(pair.protocol, data, pair.remote_addr)  # type: ignore[arg-type]
        assert len(ear.packets) == before  # what was said once is not heard twice
        await still_talks(client, peer, ear)


async def test_a_client_with_the_password_cannot_make_us_send_checks_without_end() -> None:
    async with connected() as (client, peer, ear):
        sender = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        connection = peer._ice
        check = forged_check(
            f"{connection.local_username}:{connection.remote_username}", connection.local_password, nominate=False
        )
        door = connection._nominated[1].protocol
        for port in range(20_000, 20_000 + 3 * MAX_PAIRS):
            connection.arrived(door, check, ("127.0.0.2", port))  # type: ignore[arg-type]
        assert len(connection._check_list) <= MAX_PAIRS
        await still_talks(client, peer, ear)
        sender.close()
