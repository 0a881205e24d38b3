"""SIP's sockets on loopback: what comes in whole, what goes out, and what peers may not do."""

import asyncio
import contextlib
import ssl
from collections import Counter
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from media_gateway.protocols.sip.flow import Flow
from media_gateway.transports.sip.listeners import ListenerLimits, Listeners
from tests.certificates import write_certificate
from tests.conftest import free_port, until

OPTIONS = (
    b"OPTIONS sip:127.0.0.1 SIP/2.0\r\nVia: SIP/2.0/TCP 127.0.0.1;branch=z9hG4bK1\r\nFrom: <sip:a@b>;tag=1\r\n"
    b"To: <sip:a@b>\r\nCall-ID: 1\r\nCSeq: 1 OPTIONS\r\nContent-Length: 0\r\n\r\n"
)


class Peer:
    """What a user agent would get."""

    def __init__(self, limits: ListenerLimits | None = None) -> None:
        self.messages: list[tuple[bytes, Flow]] = []
        self.lost: list[Flow] = []
        self.refused: Counter[str] = Counter()
        self.listeners = Listeners(
            lambda data, flow: self.messages.append((data, flow)),
            self.lost.append,
            limits=limits,
            refused=lambda reason: self.refused.update([reason]),
        )


@pytest.fixture
async def peer() -> AsyncIterator[Peer]:
    peer = Peer()
    await peer.listeners.open("127.0.0.1", free_port())
    yield peer
    await peer.listeners.close()


@contextlib.asynccontextmanager
async def running(peer: Peer, tls: ssl.SSLContext) -> AsyncIterator[None]:
    """Listen on TLS too; run the listeners as long as the context lasts."""
    await peer.listeners.open("127.0.0.1", 0, tls=tls)
    async with asyncio.TaskGroup() as tasks:
        work = tasks.create_task(peer.listeners.run())
        try:
            yield
        finally:
            work.cancel()


def server_context(directory: Path) -> tuple[ssl.SSLContext, Path]:
    """Return a server's context and its certificate."""
    certificate, key = write_certificate(directory)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    return context, certificate


class _Answers(asyncio.DatagramProtocol):
    def __init__(self) -> None:
        self.got: list[bytes] = []

    def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
        self.got.append(data)


async def test_datagrams_come_and_go(peer: Peer) -> None:
    loop = asyncio.get_running_loop()
    there, answers = await loop.create_datagram_endpoint(_Answers, ("127.0.0.1", 0))
    there.sendto(OPTIONS, ("127.0.0.1", peer.listeners.ports["udp"]))
    await until(lambda: peer.messages)
    data, flow = peer.messages[0]
    assert data == OPTIONS
    assert flow == Flow("udp", ("127.0.0.1", peer.listeners.ports["udp"]), there.get_extra_info("sockname"), 0)
    peer.listeners.send(flow, b"answer")
    await until(lambda: answers.got == [b"answer"])
    there.close()


async def test_a_stream_is_cut_into_messages(peer: Peer) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", peer.listeners.ports["tcp"])
    writer.write(OPTIONS + OPTIONS[:50])
    await until(lambda: peer.messages)
    writer.write(OPTIONS[50:])
    await until(lambda: len(peer.messages) == 2)
    assert {data for data, _ in peer.messages} == {OPTIONS}
    flow = peer.messages[0][1]
    assert flow.kind == "tcp"
    assert flow.id
    peer.listeners.send(flow, b"answer")
    assert await reader.readexactly(6) == b"answer"
    writer.close()
    await until(lambda: peer.lost == [flow])
    peer.listeners.send(flow, b"too late")


def test_uvloop_does_the_same(tmp_path: Path) -> None:
    uvloop = pytest.importorskip("uvloop")
    uvloop.run(_datagrams_streams_and_tls(tmp_path))


async def test_tls_is_listened_on_beside(tmp_path: Path) -> None:
    await _datagrams_streams_and_tls(tmp_path)


async def _datagrams_streams_and_tls(tmp_path: Path) -> None:
    context, certificate = server_context(tmp_path)
    peer = Peer()
    async with running(peer, context):
        client = ssl.create_default_context(cafile=str(certificate))
        _, writer = await asyncio.open_connection(
            "127.0.0.1", peer.listeners.ports["tls"], ssl=client, server_hostname="localhost"
        )
        writer.write(OPTIONS)
        await until(lambda: peer.messages)
        assert peer.messages[0][1] == Flow(
            "tls", writer.get_extra_info("peername"), writer.get_extra_info("sockname"), peer.messages[0][1].id
        )
        writer.close()
        await until(lambda: peer.lost)
        ours = await peer.listeners.connect("tcp", "127.0.0.1", peer.listeners.ports["tcp"])
        peer.listeners.send(ours, OPTIONS)
        await until(lambda: len(peer.messages) == 2)
        there = await peer.listeners.connect("udp", "127.0.0.1", peer.listeners.ports["udp"])
        peer.listeners.send(there, OPTIONS)
        await until(lambda: len(peer.messages) == 3)
        assert [flow.kind for _, flow in peer.messages] == ["tls", "tcp", "udp"]


def test_uvloop_counts_handshakes_too(tmp_path: Path) -> None:
    uvloop = pytest.importorskip("uvloop")
    uvloop.run(_half_done_handshakes(tmp_path))


async def test_handshakes_are_counted_and_do_not_last(tmp_path: Path) -> None:
    await _half_done_handshakes(tmp_path)


async def _half_done_handshakes(tmp_path: Path) -> None:
    context, certificate = server_context(tmp_path)
    peer = Peer(ListenerLimits(strangers=3, per_stranger=2, handshake_s=0.5))
    listeners = peer.listeners
    listeners.trusts = lambda address: address == "127.0.0.1"
    async with running(peer, context):
        port = listeners.ports["tls"]
        strangers = [
            await asyncio.open_connection("127.0.0.1", port, local_addr=(f"127.0.0.{host}", 0))
            for host in (2, 2, 2, 3, 3, 4)
        ]
        await until(lambda: peer.refused["too-many-connections"] == 3)
        assert listeners.strangers == {"127.0.0.2": 2, "127.0.0.3": 1}, "in their handshakes"
        assert len(listeners.connections) == 3
        client = ssl.create_default_context(cafile=str(certificate))
        _, trusted = await asyncio.open_connection("127.0.0.1", port, ssl=client, server_hostname="localhost")
        trusted.write(OPTIONS)
        await until(lambda: peer.messages)
        strangers[0][1].write(b"no TLS at all")
        await until(lambda: peer.refused["no-handshake"] == 3)
        assert not listeners.strangers
        assert len(listeners.connections) == 1
        assert not peer.lost, "nothing was begun"
        for reader, writer in strangers:
            with contextlib.suppress(ConnectionResetError):
                await reader.read()
            writer.close()
        trusted.close()
        await until(lambda: not listeners.connections)


async def test_what_cannot_be_cut_ends_the_connection(peer: Peer) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", peer.listeners.ports["tcp"])
    writer.write(b"x" * 100_000)
    assert await reader.read() == b""
    assert peer.refused["unframed"] == 1
    assert not peer.messages
    writer.close()


async def test_there_are_only_so_many_connections() -> None:
    peer = Peer(ListenerLimits(connections=3, per_stranger=2))
    await peer.listeners.open("127.0.0.1", free_port())
    opened = [await asyncio.open_connection("127.0.0.1", peer.listeners.ports["tcp"]) for _ in range(4)]
    await until(lambda: peer.refused["too-many-connections"] == 2)
    assert len(peer.listeners.connections) == 2
    peer.listeners.trusts = lambda address: address == "127.0.0.1"
    opened += [await asyncio.open_connection("127.0.0.1", peer.listeners.ports["tcp"]) for _ in range(2)]
    await until(lambda: len(peer.listeners.connections) == 3)
    await until(lambda: peer.refused["too-many-connections"] == 3)
    for _, writer in opened:
        writer.close()
    await until(lambda: not peer.listeners.connections)
    assert not peer.listeners.strangers, "nothing is kept of those who are gone"
    await peer.listeners.close()


async def test_who_says_nothing_is_sent_away() -> None:
    peer = Peer(ListenerLimits(message_s=0.0))
    await peer.listeners.open("127.0.0.1", free_port())
    reader, writer = await asyncio.open_connection("127.0.0.1", peer.listeners.ports["tcp"])
    writer.write(OPTIONS[:20])
    await until(lambda: peer.listeners.connections)
    peer.listeners.sweep(asyncio.get_running_loop().time() + 1)
    try:
        assert await reader.read() == b""
    except ConnectionResetError:
        pass  # the same, in other words
    assert peer.refused["idle"] == 1
    writer.close()
    await peer.listeners.close()


async def test_who_does_not_read_loses_the_connection() -> None:
    peer = Peer(ListenerLimits(unsent_bytes=1000))
    await peer.listeners.open("127.0.0.1", free_port())
    _, writer = await asyncio.open_connection("127.0.0.1", peer.listeners.ports["tcp"])
    writer.write(OPTIONS)
    await until(lambda: peer.messages)
    flow = peer.messages[0][1]
    for _ in range(200):
        peer.listeners.send(flow, b"x" * 100_000)
    await until(lambda: peer.refused["unread"] == 1)
    await until(lambda: peer.lost == [flow])
    writer.close()
    await peer.listeners.close()


async def test_a_message_without_a_connection_makes_one(peer: Peer) -> None:
    got: list[bytes] = []

    async def take(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        got.append(await reader.readexactly(6))
        writer.close()

    server = await asyncio.start_server(take, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    wanted = Flow("tcp", ("127.0.0.1", 0), ("127.0.0.1", port), 0)
    async with asyncio.TaskGroup() as peer.listeners.tasks:
        peer.listeners.send(wanted, b"one")
        peer.listeners.send(wanted, b"two")
        await until(lambda: got == [b"onetwo"])
    server.close()
    await server.wait_closed()
    async with asyncio.TaskGroup() as peer.listeners.tasks:
        peer.listeners.send(wanted, b"three")
    assert wanted in peer.lost, "nobody answers there any more"


async def test_a_port_in_use_is_told() -> None:
    first, second = Peer(), Peer()
    await first.listeners.open("127.0.0.1", free_port())
    with pytest.raises(OSError, match="in use"):
        await second.listeners.open("127.0.0.1", first.listeners.ports["udp"])
    await first.listeners.close()


async def test_a_name_is_looked_up_before_a_datagram_goes_there(peer: Peer) -> None:
    there, answers = await asyncio.get_running_loop().create_datagram_endpoint(_Answers, ("127.0.0.1", 0))
    port = there.get_extra_info("sockname")[1]
    async with asyncio.TaskGroup() as peer.listeners.tasks:
        peer.listeners.send(Flow("udp", ("127.0.0.1", 0), ("localhost", port), 0), b"hello")
    await until(lambda: answers.got == [b"hello"])
    there.close()


async def test_a_host_that_no_look_up_takes_leads_nowhere(peer: Peer) -> None:
    ours = ("127.0.0.1", peer.listeners.ports["tcp"])
    nowhere = [Flow("tcp", ours, (f"{label}.example", 5060), 0) for label in ("a" * 64, "a.")]
    async with asyncio.TaskGroup() as peer.listeners.tasks:
        for flow in nowhere:
            peer.listeners.send(flow, b"BYE")
    assert sorted(peer.lost, key=str) == sorted(nowhere, key=str)


def test_an_address_of_the_other_family_is_no_way(tmp_path: Path) -> None:
    async def send() -> None:
        peer = Peer()
        await peer.listeners.open("127.0.0.1", free_port())
        peer.listeners.send(Flow("udp", ("127.0.0.1", peer.listeners.ports["udp"]), ("::1", 5060), 0), b"BYE")
        await peer.listeners.close()

    asyncio.run(send())
    pytest.importorskip("uvloop").run(send())


async def test_a_stranger_who_only_keeps_alive_is_sent_away_and_a_flood_is_answered_once() -> None:
    peer = Peer()
    await peer.listeners.open("127.0.0.1", free_port())
    reader, writer = await asyncio.open_connection("127.0.0.1", peer.listeners.ports["tcp"])
    await until(lambda: peer.listeners.connections)
    (connection,) = peer.listeners.connections.values()
    connection.data_received(b"\r\n" * 1000)
    assert len(peer.messages) == 2
    began_s = asyncio.get_running_loop().time()
    peer.listeners.sweep(began_s + peer.listeners.limits.message_s + 1)
    try:
        assert await reader.read() == b""
    except ConnectionResetError:
        pass  # the same, in other words
    assert peer.refused["idle"] == 1
    writer.close()
    await peer.listeners.close()
