"""A browser's audio connection against aiortc on the other side, over loopback."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import re
import socket
import threading
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

import pytest
from aioice import ice, stun
from aiortc.rtp import RtcpRrPacket, RtcpSrPacket

from media_gateway.protocols.rtc_sdp import OfferRefused, parse_candidate
from media_gateway.transports import rtc_guard
from media_gateway.transports.rtc_guard import IceServer, Network
from media_gateway.transports.rtc_peer import NoMediaSockets, PeerLimits, RtcPeer
from tests.conftest import until
from tests.lossy import LossyPath
from tests.rtc_client import ON_LOOPBACK, Client, Ear, answering, connected

FAST = PeerLimits(connect_within_s=1.0, lost_after_s=1.0)


def without_candidates(sdp: str) -> str:
    return "".join(line for line in sdp.splitlines(keepends=True) if not line.startswith("a=candidate"))


async def test_packets_go_both_ways() -> None:
    async with connected() as (client, peer, ear):
        said = [b"\x48ours %d" % number for number in range(60)]
        for payload in said:
            peer.send(payload)
            await asyncio.sleep(0.01)
        await until(lambda: len(client.heard) == 60 and len(ear.packets) > 30)
        heard = client.heard
        assert [packet.payload for packet in heard] == said
        assert {packet.timestamp - b.timestamp & 0xFFFFFFFF for b, packet in pairwise(heard)} == {960}
        assert {packet.sequence_number - b.sequence_number & 0xFFFF for b, packet in pairwise(heard)} == {1}
        assert [packet.marker for packet in heard] == [1] + [0] * 59
        assert ear.payloads() <= client.packets
        steps = {later[0] - earlier[0] & 0xFFFFFFFF for earlier, later in pairwise(ear.packets)}
        assert steps == {960}
        assert ear.states == ["connecting", "connected"]


async def test_time_goes_on_over_gaps_and_before_the_connection() -> None:
    ear, client = Ear(), Client()
    async with answering(ear) as peer:
        first = peer._timestamp
        peer.send(b"\x48unheard")
        await client.take(await peer.answer(await client.offer()))
        await until(lambda: peer.state == "connected")
        peer.send(b"\x48one")
        peer.send_gap(3)
        peer.send(b"\x48two")
        peer.send(b"")
        peer.send(bytes(2000))  # no Opus packet is so long
        peer.send(b"\x48three")
        await until(lambda: len(client.heard) == 3)
        at = [(packet.timestamp - first & 0xFFFFFFFF) // 960 for packet in client.heard]
        assert at == [1, 5, 8]
        assert [packet.marker for packet in client.heard] == [1, 1, 0]
        await client.close()


async def test_the_answer_says_what_we_take() -> None:
    ear, client = Ear(), Client()
    async with answering(ear) as peer:
        answer = await peer.answer(await client.offer())
        await client.close()
    lines = answer.splitlines()
    payload_type = next(line for line in lines if line.startswith("a=rtpmap:")).split()[0].removeprefix("a=rtpmap:")
    assert f"m=audio {re.findall(r'm=audio ([0-9]+)', answer)[0]} UDP/TLS/RTP/SAVPF {payload_type}" in lines
    assert [line for line in lines if line.startswith("a=rtpmap:")] == [f"a=rtpmap:{payload_type} opus/48000/2"]
    for wanted in ("a=setup:active", "a=ptime:20", "a=rtcp-mux", "a=sendrecv", "a=end-of-candidates"):
        assert wanted in lines
    assert "useinbandfec=1" in answer
    assert all(" 127.0.0.1 " in line for line in lines if line.startswith("a=candidate:"))


async def test_reports_tell_both_sides_how_well_it_goes() -> None:
    async with connected() as (client, peer, _):
        told: list[RtcpSrPacket | RtcpRrPacket] = []
        sender = client.sender

        async def keep(packet: RtcpSrPacket | RtcpRrPacket) -> None:
            told.append(packet)
            await sender.__class__._handle_rtcp_packet(sender, packet)

        sender._handle_rtcp_packet = keep  # type: ignore[assignment,method-assign]
        for _ in range(20):
            peer.send(b"\x48ours")
        await until(lambda: len(told) >= 2 and told[-1].reports[0].lsr and peer.quality().rtt_ms is not None)
        report = told[-1]
        assert isinstance(report, RtcpSrPacket)
        assert report.ssrc == peer._accounts.sending.ssrc
        assert report.sender_info.packet_count == 20
        assert (report.reports[0].ssrc, report.reports[0].packets_lost) == (sender._ssrc, 0)
        stats = await sender.getStats()
        assert [found for found in stats.values() if found.type == "remote-inbound-rtp"]
        quality = peer.quality()
        assert quality.rtt_ms is not None
        assert quality.rtt_ms < 500
        assert quality.loss_fraction == 0
        assert quality.jitter_ms < 50


async def test_a_bad_network_loses_packets_not_the_call() -> None:
    ear, client = Ear(), Client()
    async with LossyPath(loss=0.05, delay_ms=20, jitter_ms=40, reorder=0.05) as path, answering(ear) as peer:
        await client.take(path.answer(await peer.answer(path.offer(await client.offer()))))
        await until(lambda: peer.state == "connected")
        while len(ear.packets) < 150:
            peer.send(b"\x48ours")
            await asyncio.sleep(0.02)
        await client.close()
    assert path.counts["to_server"].lost > 0
    assert ear.states[:2] == ["connecting", "connected"]
    timestamps = [timestamp for timestamp, _, _ in ear.packets]
    assert timestamps != sorted(timestamps)  # handed on as they came
    assert len(client.heard) > 100
    assert 0 < peer.quality().loss_fraction < 0.3


async def test_candidates_may_come_later() -> None:
    ear, client = Ear(), Client()
    async with answering(ear) as peer:
        offer = await client.offer()
        answer = await peer.answer(without_candidates(offer))
        await client.take(without_candidates(answer).replace("a=end-of-candidates\r\n", ""))
        await asyncio.sleep(0.1)
        assert peer.state == "connecting"  # neither knows where the other is
        for value in re.findall("a=(candidate:.*)", offer):
            candidate = parse_candidate(value)
            assert candidate is not None
            await peer.add_candidate(candidate)
        await until(lambda: ear.packets)
        await client.close()


async def test_hidden_addresses_are_not_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    async def no_mdns(subscriber: object) -> None:
        raise AssertionError("mDNS was used")

    monkeypatch.setattr(ice, "get_or_create_mdns_protocol", no_mdns)
    ear, client = Ear(), Client()
    async with answering(ear) as peer:
        hidden = "7cb4ee14-8f41-4c1a-9f3c-1d3c0e6bd1a1.local"
        offer = re.sub("(a=candidate:.*) 127.0.0.1 ", rf"\1 {hidden} ", await client.offer())
        assert hidden in offer
        await client.take(await peer.answer(offer))
        await until(lambda: ear.packets)
        await client.close()


async def test_who_says_goodbye_has_closed() -> None:
    async with connected() as (client, _, ear):
        await client.close()
        await until(lambda: ear.states[-1] == "closed", within_s=2)
    assert ear.states == ["connecting", "connected", "closed"]


@pytest.mark.slow
async def test_who_vanishes_is_lost_within_ten_seconds() -> None:
    async with connected() as (client, peer, ear):
        client.vanish()
        await until(lambda: ear.states[-1] == "lost", within_s=10)
        heard = len(ear.packets)
        peer.send(b"\x48into the void")
        assert len(ear.packets) == heard


async def test_silence_alone_is_no_reason_to_let_go() -> None:
    async with connected(PeerLimits(lost_after_s=3.0)) as (client, peer, ear):
        client.track.is_silent = True
        heard = len(ear.packets)
        await asyncio.sleep(5)
        assert peer.state == "connected"
        assert len(ear.packets) < heard + 100


async def test_who_never_comes_is_lost() -> None:
    ear, client = Ear(), Client()
    async with answering(ear, FAST) as peer:
        await peer.answer(await client.offer())
        await until(lambda: ear.states == ["connecting", "lost"], within_s=5)
    await client.close()


@pytest.mark.parametrize("setup", ["active", "passive"])
async def test_another_fingerprint_is_refused(setup: str) -> None:
    ear, client = Ear(), Client()
    async with answering(ear, FAST) as peer:
        offer = re.sub("(a=fingerprint:sha-256 )..:..", r"\g<1>00:00", await client.offer())
        offer = re.sub("a=fingerprint:sha-(384|512).*\r\n", "", offer)
        if setup == "passive":
            offer = offer.replace("a=setup:actpass", "a=setup:active")
        await client.take(await peer.answer(offer))
        await until(lambda: ear.states == ["connecting", "lost"], within_s=5)
        peer.send(b"\x48secret")
    assert not ear.packets
    assert not client.heard
    await client.close()


async def test_one_wrong_fingerprint_among_right_ones_is_refused() -> None:
    ear, client = Ear(), Client()
    async with answering(ear, FAST) as peer:
        offer = re.sub("(a=fingerprint:sha-512 )..:..", r"\g<1>00:00", await client.offer())
        await client.take(await peer.answer(offer))
        await until(lambda: ear.states == ["connecting", "lost"], within_s=5)
    assert not ear.packets
    await client.close()


async def test_after_disconnect_nothing_is_called_back() -> None:
    async with connected() as (client, peer, ear):
        peer.disconnect()
        heard = len(ear.packets)
        peer.send(b"\x48unheard")
        await until(lambda: client.pc.connectionState == "closed")
        assert len(ear.packets) == heard
        assert b"\x48unheard" not in {packet.payload for packet in client.heard}
    assert ear.states == ["connecting", "connected"]


async def test_a_listener_is_only_sent_to() -> None:
    ear, client = Ear(), Client()
    async with answering(ear) as peer:
        offer = (await client.offer()).replace("a=sendrecv", "a=recvonly")
        answer = await peer.answer(offer)
        assert "a=sendonly" in answer
        await client.take(answer)
        await until(lambda: peer.state == "connected")
        peer.send(b"\x48listen")
        await until(lambda: client.heard)
        assert not ear.packets
        await client.close()


@pytest.mark.parametrize("moment", ["new", "answered", "connecting"])
async def test_it_can_be_closed_at_any_time(moment: str) -> None:
    ear, client = Ear(), Client()
    async with answering(ear) as peer:
        if moment != "new":
            answer = await peer.answer(await client.offer())
        if moment == "connecting":
            await client.take(answer)
            await until(lambda: peer._ice._nominated)
        await peer.close()
        assert not peer._ice._protocols
        await peer.close()
    assert ear.states in ([], ["connecting"])
    await client.close()


@pytest.mark.parametrize("offer", ["", "v=0", "v=0\r\nm=audio", "{}", "v=0\r\n" * 20_000])
async def test_nonsense_is_refused_and_opens_nothing(offer: str) -> None:
    ear = Ear()
    peer = RtcPeer(on_packet=ear.on_packet, on_state=ear.on_state, network=ON_LOOPBACK)
    with pytest.raises(OfferRefused):
        await peer.answer(offer)
    assert not peer._ice._protocols
    await peer.close()


async def test_media_ports_may_be_chosen() -> None:
    with contextlib.ExitStack() as stack:
        taken = stack.enter_context(socket.socket(socket.AF_INET, socket.SOCK_DGRAM))
        taken.bind(("127.0.0.1", 0))
        port = taken.getsockname()[1]
        client, ear = Client(), Ear()
        offer = await client.offer()
        network = Network(addresses=("127.0.0.1",), ports=range(port, port + 1))
        async with answering(ear, network=network) as peer:
            with pytest.raises(NoMediaSockets):
                await peer.answer(offer)
        taken.close()
        async with answering(ear, network=network) as peer:
            assert f" 127.0.0.1 {port} typ host" in await peer.answer(offer)
        await client.close()


def test_loopback_is_offered_where_it_is_served_or_all_there_is(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ice, "get_host_addresses", lambda use_ipv4, use_ipv6: ["192.0.2.7"])
    assert Network().chosen() == ["192.0.2.7"]
    assert Network(on_loopback=True).chosen() == ["192.0.2.7", "127.0.0.1"]
    monkeypatch.setattr(ice, "get_host_addresses", lambda use_ipv4, use_ipv6: [])
    assert Network().chosen() == ["127.0.0.1"]


@contextlib.contextmanager
def stun_server(*, answers: bool) -> Iterator[IceServer]:
    """A STUN server on loopback that sees everybody at 198.51.100.7; one that does not answer is one that is away."""

    class Protocol(asyncio.DatagramProtocol):
        def __init__(self) -> None:
            self.socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
            self.socket.bind(("127.0.0.1", 0))
            self.socket.setblocking(False)

        def read(self) -> None:
            data, address = self.socket.recvfrom(2048)
            request = stun.parse_message(data)
            reply = stun.Message(stun.Method.BINDING, stun.Class.RESPONSE, request.transaction_id)
            reply.attributes["XOR-MAPPED-ADDRESS"] = ("198.51.100.7", address[1])
            if answers:
                self.socket.sendto(bytes(reply), address)

    server = Protocol()
    loop = asyncio.get_running_loop()
    loop.add_reader(server.socket, server.read)
    yield IceServer((f"stun:127.0.0.1:{server.socket.getsockname()[1]}",))
    loop.remove_reader(server.socket)
    server.socket.close()


@pytest.mark.parametrize("answers", [True, False])
async def test_a_stun_server_is_asked_and_not_waited_for_long(answers: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rtc_guard, "GATHER_WITHIN_S", 0.2)
    client, ear = Client(), Ear()
    with stun_server(answers=answers) as server:
        peer = RtcPeer([server], on_packet=ear.on_packet, on_state=ear.on_state, network=ON_LOOPBACK)
        answer = await peer.answer(await client.offer())
        assert ("198.51.100.7" in answer) is answers
        assert " 127.0.0.1 " in answer
        await peer.close()
    await client.close()


async def test_a_turn_server_that_is_away_costs_neither_the_answer_nor_the_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rtc_guard, "GATHER_WITHIN_S", 0.2)
    client, ear = Client(), Ear()
    server = IceServer(("turn:127.0.0.1:9?transport=udp",), "somebody", "secret")
    peer = RtcPeer([server], on_packet=ear.on_packet, on_state=ear.on_state, network=ON_LOOPBACK)
    assert " 127.0.0.1 " in await peer.answer(await client.offer())
    async with asyncio.timeout(3):
        await peer.close()
    await client.close()


def held() -> tuple[int, int, int]:
    """How many threads run, files are open and peers are in memory."""
    gc.collect()
    peers = sum(isinstance(found, RtcPeer) for found in gc.get_objects())
    return threading.active_count(), len(list(Path("/proc/self/fd").iterdir())), peers


@pytest.mark.parametrize("ending", ["ours", "theirs", "vanished", "failed"])
async def test_nothing_is_left_of_twenty_connections(ending: str) -> None:
    async def once() -> None:
        if ending == "failed":
            ear, client = Ear(), Client()
            async with answering(ear, PeerLimits(connect_within_s=0.05)) as peer:
                await peer.answer(await client.offer())
                await until(lambda: ear.states[-1:] == ["lost"])
            await client.close()
            return
        limits = PeerLimits(lost_after_s=0.2) if ending == "vanished" else None
        async with connected(limits) as (client, peer, ear):
            if ending == "ours":
                await peer.close()
            elif ending == "theirs":
                await client.close()
                await until(lambda: ear.states[-1] == "closed")
            else:
                client.vanish()
                await until(lambda: ear.states[-1] == "lost")

    await once()
    await asyncio.sleep(0.05)
    tasks, others = len(asyncio.all_tasks()), held()
    async with asyncio.timeout(60):
        for _ in range(4):
            await asyncio.gather(*(once() for _ in range(5)))
    await until(lambda: len(asyncio.all_tasks()) == tasks)
    assert all(now <= before for now, before in zip(held(), others, strict=True))
