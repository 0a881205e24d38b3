"""Multipart bodies, as they should be and as they come."""

from __future__ import annotations

import base64

import pytest
from hypothesis import given
from hypothesis import strategies as st

from media_gateway.protocols.multipart import MAX_PARTS, MultipartError, parameter, split_body

TYPE = "multipart/mixed;boundary=b1"


def test_parts_come_in_their_order_without_preamble_and_epilogue() -> None:
    body = (
        b"preamble\r\n--b1\r\nContent-Type: text/a\r\n\r\none\r\n--b1\r\ncontent-TYPE:text/b; x=1\r\n\r\ntwo\r\n"
        b"--b1--\r\nepilogue\r\n--b1\r\n\r\nno part\r\n"
    )

    first, second = split_body(TYPE, body)

    assert (first.media_type, first.content) == ("text/a", b"one")
    assert (second.media_type, second.content) == ("text/b", b"two")


@pytest.mark.parametrize("end", [b"\r\n", b"\n"])
def test_either_line_end_will_do(end: bytes) -> None:
    body = end.join([b"--b1", b"Content-Type: a/b", b"", b"v=0", b"s=-", b"", b"--b1--", b""])

    (part,) = split_body(TYPE, body)

    assert part.content == end.join([b"v=0", b"s=-", b""])


def test_the_last_boundary_may_be_missing() -> None:
    (part, other) = split_body(TYPE, b"--b1\r\n\r\none\r\n--b1\r\n\r\ntwo\r\n")

    assert (part.content, other.content) == (b"one", b"two\r\n")


def test_white_space_behind_a_boundary_is_no_part_of_it() -> None:
    parts = split_body(TYPE, b"--b1 \t\r\n\r\none\r\n--b1--  \r\n")

    assert [part.content for part in parts] == [b"one"]


def test_a_boundary_ends_at_the_end_of_its_line() -> None:
    (part,) = split_body(TYPE, b"--b1\r\n\r\n--b12\r\n--b1-\r\n --b1\r\n--b1--\r\n")

    assert part.content == b"--b12\r\n--b1-\r\n --b1"


@pytest.mark.parametrize(
    ("header", "boundary"),
    [
        ('multipart/mixed; boundary="a b;=c"', "a b;=c"),
        ('multipart/mixed;BOUNDARY = "q\\"x"', 'q"x'),
        ("multipart/mixed;type=x;boundary=b1;other=y", "b1"),
        ("multipart/mixed", None),
    ],
)
def test_the_boundary_is_a_parameter_quoted_or_not(header: str, boundary: str | None) -> None:
    assert parameter(header, "boundary") == boundary


def test_without_a_boundary_in_the_header_the_body_shows_it() -> None:
    parts = split_body("multipart/mixed", b"--\r\n--odd one\r\n\r\nx\r\n--odd one--")

    assert [part.content for part in parts] == [b"x"]


def test_binary_content_stays_as_it_is() -> None:
    blob = bytes(range(256)) + b"\r\n--\r\n\r\n"

    (part,) = split_body(TYPE, b"--b1\r\nContent-Transfer-Encoding: binary\r\n\r\n" + blob + b"\r\n--b1--")

    assert part.content == blob


@pytest.mark.parametrize(
    ("encoding", "wire"), [("base64", base64.b64encode(b"x=y")), ("Quoted-Printable", b"x=3Dy"), ("8bit", b"x=y")]
)
def test_a_transfer_encoding_is_undone(encoding: str, wire: bytes) -> None:
    (part,) = split_body(TYPE, b"--b1\r\nContent-Transfer-Encoding: " + encoding.encode() + b"\r\n\r\n" + wire)

    assert part.content == b"x=y"


def test_headers_may_be_folded_short_and_repeated() -> None:
    (part,) = split_body(TYPE, b"--b1\r\nc:application/sdp;\r\n\tq=1\r\nContent-Type: other/x\r\n\r\n\r\n--b1--")

    assert part.headers["content-type"] == "application/sdp; q=1"


def test_a_multipart_within_is_opened_up() -> None:
    inner = b"Content-Type: multipart/alternative;boundary=in\r\n\r\n--in\r\n\r\n1\r\n--in\r\n\r\n2\r\n--in--"

    parts = split_body(TYPE, b"--b1\r\n" + inner + b"\r\n--b1\r\n\r\n3\r\n--b1--")

    assert [part.content for part in parts] == [b"1", b"2", b"3"]


def test_another_body_is_one_part() -> None:
    (part,) = split_body("application/sdp", b"v=0\r\n")

    assert (part.media_type, part.content) == ("application/sdp", b"v=0\r\n")


NESTED = b"".join(b"--b1\r\nContent-Type: multipart/mixed;boundary=b1\r\n\r\n" for _ in range(9))


@pytest.mark.parametrize(
    ("header", "body"),
    [
        (TYPE, b""),
        (TYPE, b"--other\r\n\r\nx\r\n--other--"),
        ("multipart/mixed", b"no dashes"),
        (TYPE, b"--b1\r\nno colon\r\n\r\nx\r\n--b1--"),
        (TYPE, b"--b1\r\nX: " + b"y" * 9000 + b"\r\n\r\nx\r\n--b1--"),
        (TYPE, b"--b1\r\n\r\nx\r\n" * (MAX_PARTS + 1)),
        (TYPE, b"--b1\r\nContent-Transfer-Encoding: base64\r\n\r\nx\r\n--b1--"),
        (
            TYPE,
            (
                b"--b1\r\nContent-Type: multipart/a;boundary=b2\r\n\r\n"
                b"--b2\r\nContent-Type: multipart/a;boundary=b3\r\n\r\n"
                b"--b3\r\nContent-Type: multipart/a;boundary=b4\r\n\r\n--b4\r\n\r\nx"
            ),
        ),
    ],
)
def test_what_cannot_be_taken_apart_is_refused(header: str, body: bytes) -> None:
    with pytest.raises(MultipartError):
        split_body(header, body)


@given(st.lists(st.binary(max_size=60), min_size=1, max_size=5))
def test_what_is_put_together_comes_apart_again(contents: list[bytes]) -> None:
    boundary = b"=_never_in_60_bytes_of_chance_and_therefore_longer_than_sixty_bytes"
    body = b"".join(b"--" + boundary + b"\r\n\r\n" + content + b"\r\n" for content in contents)

    parts = split_body(f'multipart/mixed;boundary="{boundary.decode()}"', body + b"--" + boundary + b"--\r\n")

    assert [part.content for part in parts] == contents


@given(st.text(max_size=60), st.binary(max_size=400))
def test_whatever_comes_is_taken_apart_or_refused(parameters: str, body: bytes) -> None:
    try:
        parts = split_body(f"multipart/{parameters}", body)
    except MultipartError:
        return
    assert all(len(part.content) <= len(body) for part in parts)
