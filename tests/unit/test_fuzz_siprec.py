"""Whatever a recording client may send, under coverage."""

from __future__ import annotations

from pathlib import Path

from media_gateway.protocols.multipart import MultipartError, split_body
from media_gateway.protocols.siprec import BodyError, MetadataError, parse_metadata, read_offer
from media_gateway.protocols.siprec_call import RecordedCall
from tests.fuzzing import fuzz

VECTORS = Path(__file__).parent.parent / "vectors" / "siprec"


def fuzz_body(data: bytes) -> None:
    """The first line is the Content-Type, the rest the body."""
    kind, _, body = data.partition(b"\n")
    content_type = kind.decode("latin-1")
    try:
        split_body(content_type, body)
    except MultipartError:
        pass
    try:
        read_offer(content_type, body)
    except BodyError:
        pass


def fuzz_metadata(data: bytes) -> None:
    """Two documents, one after the other."""
    call = RecordedCall()
    for document in data.split(b"\x1e")[:2]:
        try:
            call = call.updated(parse_metadata(document))
        except MetadataError:
            continue
        for labels in ([], ["1"], ["1", None], ["a", "b", "c"]):
            assert len(call.heard(labels)) == len(labels)


def test_no_body_breaks_its_parser(data_dir: Path) -> None:
    seeds = [b'multipart/mixed;boundary="a b:(c)\'+_,-./=?"\n' + (VECTORS / "drafts.body").read_bytes()]
    seeds += [
        f"multipart/mixed;boundary={name}\n".encode() + (VECTORS / f"{name}-stream{end}.body").read_bytes()
        for name, end in (("one", ""), ("three", "s"))
    ]
    seeds += [
        b"multipart/mixed\n" + path.read_bytes() for path in sorted((data_dir / "wire" / "siprec").glob("*-offer.txt"))
    ]
    fuzz("tests.unit.test_fuzz_siprec:fuzz_body", seeds)


def test_no_metadata_break_their_parser() -> None:
    documents = [path.read_bytes() for path in sorted(VECTORS.glob("*.xml"))]
    seeds = [documents[0] + b"\x1e" + document for document in documents]
    fuzz("tests.unit.test_fuzz_siprec:fuzz_metadata", seeds)
