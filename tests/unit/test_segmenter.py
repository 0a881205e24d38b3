"""Where a track is cut and what is decoded when, with a detector that reads the answer from the samples."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from itertools import pairwise

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from infra.model import CHUNK_MS, SAMPLES_PER_MS, AudioChunk, Hole
from workers.asr.segmenter import Action, Decode, Drop, Policy, Segmenter
from workers.asr.vad import WINDOW, WINDOW_MS

POLICY = Policy()
LOUD, FAINT, QUIET = 900, 400, 0


class Meter:
    """A detector whose probability is a window's mean amplitude in thousandths."""

    def __init__(self) -> None:
        self._rest = np.zeros(0, np.int16)

    def feed(self, samples: NDArray[np.int16]) -> NDArray[np.float32]:
        audio = np.concatenate((self._rest, samples))
        whole = audio.size // WINDOW * WINDOW
        self._rest = audio[whole:]
        return (np.abs(audio[:whole].reshape(-1, WINDOW).astype(np.float32)).mean(axis=1) / 1000).astype(np.float32)

    def reset(self) -> None:
        self._rest = self._rest[:0]


def audio(*parts: tuple[int, int]) -> bytes:
    """Return the PCM of parts (amplitude, milliseconds); every part has its own faint ripple to tell it by."""
    pieces = []
    for index, (level, length_ms) in enumerate(parts):
        ripple = np.arange(length_ms * SAMPLES_PER_MS) % (index + 2) if level else 0
        pieces.append(np.full(length_ms * SAMPLES_PER_MS, level, "<i2") + np.asarray(ripple, "<i2"))
    return np.concatenate(pieces).astype("<i2").tobytes()


def chunks(pcm: bytes, *, first_seq: int = 0, start_ms: int = 0, last: bool = False) -> list[AudioChunk]:
    """Cut PCM as the gateway does."""
    size = CHUNK_MS * SAMPLES_PER_MS * 2
    starts = range(0, len(pcm), size)
    return [
        AudioChunk(
            first_seq + index,
            start_ms + index * CHUNK_MS,
            pcm[start : start + size],
            received_at_ms=0,
            last=last and index == len(starts) - 1,
        )
        for index, start in enumerate(starts)
    ]


def feed(segmenter: Segmenter, parts: Iterable[AudioChunk]) -> list[Action]:
    return [action for chunk in parts for action in segmenter.push(chunk)]


def run(*parts: tuple[int, int], policy: Policy = POLICY) -> list[Action]:
    return feed(Segmenter(Meter(), policy), chunks(audio(*parts), last=True))


def finals(actions: Iterable[Action]) -> list[Decode]:
    return [action for action in actions if isinstance(action, Decode) and action.kind == "final"]


def kinds(actions: Iterable[Action]) -> list[str]:
    return [action.kind if isinstance(action, Decode) else "drop" for action in actions]


def near(value_ms: int, expected_ms: int) -> bool:
    """True within one window of the detector."""
    return abs(value_ms - expected_ms) <= WINDOW_MS


def test_silence_asks_for_nothing_and_lets_its_chunks_go() -> None:
    segmenter = Segmenter(Meter())
    for chunk in chunks(audio((QUIET, 60_000))):
        assert segmenter.push(chunk) == []
        assert segmenter.safe_seq >= chunk.seq - 3
        assert segmenter.safe_ms >= chunk.end_ms - 1000
        assert len(segmenter._audio) < 3 * CHUNK_MS * SAMPLES_PER_MS * 2
    assert segmenter.finish() == []


def test_a_phrase_is_shown_while_it_grows_then_speculated_then_final() -> None:
    actions = run((QUIET, 1000), (LOUD, 2000), (QUIET, 1000))

    assert kinds(actions) == ["partial", "partial", "speculative", "final"]
    final = actions[-1]
    assert isinstance(final, Decode)
    assert near(final.start_ms, 1000)
    assert near(final.end_ms, 3000)
    assert {action.seq for action in actions} == {0}


def test_the_final_comes_when_the_pause_is_long_enough_and_not_before() -> None:
    segmenter = Segmenter(Meter())
    heard_ms = {}
    for chunk in chunks(audio((LOUD, 2000), (QUIET, 1000))):
        for action in segmenter.push(chunk):
            assert isinstance(action, Decode)
            heard_ms[action.kind] = chunk.end_ms

    assert (
        2000 + POLICY.speculative_ms <= heard_ms["speculative"] <= 2000 + POLICY.speculative_ms + CHUNK_MS + WINDOW_MS
    )
    assert 2000 + POLICY.hang_over_ms <= heard_ms["final"] <= 2000 + POLICY.hang_over_ms + CHUNK_MS + WINDOW_MS


def test_a_final_that_was_speculated_has_the_very_same_samples() -> None:
    speculative, final = run((QUIET, 500), (LOUD, 800), (QUIET, 1000))[-2:]
    assert isinstance(speculative, Decode)
    assert isinstance(final, Decode)

    assert final.reuse
    assert (final.seq, final.start_ms, final.end_ms) == (speculative.seq, speculative.start_ms, speculative.end_ms)
    np.testing.assert_array_equal(final.samples, speculative.samples)


def test_samples_are_the_speech_with_context_on_both_sides() -> None:
    pcm = audio((QUIET, 1000), (LOUD, 1500), (QUIET, 1000))
    (final,) = finals(feed(Segmenter(Meter()), chunks(pcm, last=True)))

    assert near(final.audio_ms, 1000 - POLICY.pre_roll_ms)
    after_ms = final.audio_ms + final.samples.size // SAMPLES_PER_MS - final.end_ms
    assert POLICY.speculative_ms <= after_ms <= POLICY.tail_ms
    heard = np.frombuffer(pcm, "<i2")[final.audio_ms * SAMPLES_PER_MS :][: final.samples.size]
    np.testing.assert_allclose(final.samples, heard / 32768)
    assert final.samples.dtype == np.float32


def test_a_short_pause_does_not_end_a_segment_but_its_speculation_is_void() -> None:
    actions = run((LOUD, 1000), (QUIET, 250), (LOUD, 1000), (QUIET, 1000))

    (final,) = finals(actions)
    assert near(final.end_ms, 2250)
    speculations = [action.end_ms for action in actions if isinstance(action, Decode) and action.kind == "speculative"]
    assert len(speculations) == 2
    assert near(speculations[0], 1000)
    assert speculations[1] == final.end_ms
    assert final.reuse


def test_two_phrases_are_two_segments_that_share_no_audio() -> None:
    first, second = finals(run((LOUD, 1000), (QUIET, 700), (LOUD, 1000), (QUIET, 1000)))

    assert (first.seq, second.seq) == (0, 1)
    assert first.end_ms <= second.audio_ms
    assert near(second.start_ms, 1700)


def test_a_click_is_not_speech() -> None:
    assert run((QUIET, 1000), (LOUD, 2 * WINDOW_MS), (QUIET, 2000)) == []


def test_what_was_shown_and_turns_out_to_be_no_speech_is_dropped() -> None:
    policy = replace(POLICY, min_speech_ms=400, partial_ms=100)
    actions = run((QUIET, 1000), (LOUD, 256), (QUIET, 2000), policy=policy)

    assert kinds(actions) == ["partial", "partial", "drop"]
    assert actions[-1] == Drop(0)


def test_the_faint_end_of_a_word_belongs_to_it() -> None:
    (final,) = finals(run((LOUD, 1000), (FAINT, 300), (QUIET, 1000)))
    assert near(final.end_ms, 1300)


def test_faint_sound_alone_opens_nothing() -> None:
    assert run((FAINT, 3000), (QUIET, 1000)) == []


def test_a_monologue_is_cut_without_losing_a_sample() -> None:
    pcm = audio((LOUD, 60_000))
    found = finals(feed(Segmenter(Meter()), chunks(pcm, last=True)))

    assert len(found) >= 5
    assert all(final.samples.size <= POLICY.longest_ms * SAMPLES_PER_MS for final in found)
    for before, after in pairwise(found):
        assert before.audio_ms + before.samples.size // SAMPLES_PER_MS == after.audio_ms
    joined = np.concatenate([final.samples for final in found])
    np.testing.assert_allclose(joined, np.frombuffer(pcm, "<i2")[: joined.size] / 32768)
    assert joined.size >= 59_900 * SAMPLES_PER_MS


def test_a_monologue_is_cut_at_its_breath() -> None:
    first, second = finals(run((LOUD, 8000), (QUIET, 100), (LOUD, 5000), (QUIET, 1000)))

    cut_ms = first.audio_ms + first.samples.size // SAMPLES_PER_MS
    assert 8000 - WINDOW_MS <= cut_ms <= 8100 + WINDOW_MS
    assert second.audio_ms == cut_ms


def test_the_longer_a_segment_the_shorter_the_pause_that_ends_it() -> None:
    early = finals(run((LOUD, 3000), (QUIET, 290), (LOUD, 1000), (QUIET, 1000)))
    late = finals(run((LOUD, 11_000), (QUIET, 290), (LOUD, 1000), (QUIET, 1000)))

    assert len(early) == 1
    assert len(late) == 2
    assert near(late[0].end_ms, 11_000)


def test_partials_grow_rarer_as_the_segment_grows_longer() -> None:
    policy = replace(POLICY, longest_ms=20_000, relax_after_ms=19_000, partial_growth=0.5)
    actions = run((LOUD, 10_000), (QUIET, 1000), policy=policy)
    ends = [action.end_ms for action in actions if isinstance(action, Decode) and action.kind == "partial"]
    gaps = np.diff(ends)

    assert (gaps[1:] >= gaps[:-1]).all()
    assert gaps[-1] > 2 * POLICY.partial_ms


def test_a_hole_ends_the_segment_at_the_hole() -> None:
    segmenter = Segmenter(Meter())
    actions = feed(segmenter, chunks(audio((LOUD, 1000))))
    actions += feed(segmenter, chunks(audio((LOUD, 1000)), first_seq=5, start_ms=1600))
    actions += segmenter.finish()

    first, second = finals(actions)
    assert near(first.end_ms, 1000)
    assert first.audio_ms + first.samples.size // SAMPLES_PER_MS <= 1000
    assert near(second.start_ms, 1600)
    assert second.audio_ms == 1600


def test_a_named_hole_counts_even_where_it_was_filled_with_silence() -> None:
    spoken, filled = audio((LOUD, 1000)), audio((QUIET, 400))
    parts = chunks(spoken + filled + spoken)
    hole = Hole(1000, 1400, "packets lost")
    parts[5] = replace(parts[5], holes=(hole,))
    parts[6] = replace(parts[6], holes=(hole,))
    segmenter = Segmenter(Meter())

    first, second = finals(feed(segmenter, parts) + segmenter.finish())
    assert near(first.end_ms, 1000)
    assert second.audio_ms == 1400


def test_a_short_hole_is_bridged_with_silence() -> None:
    segmenter = Segmenter(Meter())
    actions = feed(segmenter, chunks(audio((LOUD, 1000))))
    actions += feed(segmenter, chunks(audio((LOUD, 1000)), first_seq=5, start_ms=1200))
    (final,) = finals(actions + segmenter.finish())

    assert near(final.end_ms, 2200)
    gap = final.samples[(1000 - final.audio_ms) * SAMPLES_PER_MS :][: 200 * SAMPLES_PER_MS]
    assert not gap.any()


def test_a_chunk_that_comes_twice_is_heard_once() -> None:
    once = chunks(audio((LOUD, 2000), (QUIET, 1000)), last=True)
    twice = [chunk for chunk in once for _ in range(2)]

    assert described(feed(Segmenter(Meter()), twice)) == described(feed(Segmenter(Meter()), once))


def test_chunks_that_overlap_are_heard_once() -> None:
    segmenter = Segmenter(Meter())
    actions = feed(segmenter, chunks(audio((LOUD, 1000))))
    actions += feed(segmenter, chunks(audio((LOUD, 1000)), first_seq=5, start_ms=900))
    (final,) = finals(actions + segmenter.finish())

    assert near(final.end_ms, 1900)


def test_finishing_closes_what_is_open_once() -> None:
    segmenter = Segmenter(Meter())
    feed(segmenter, chunks(audio((LOUD, 1000))))

    assert kinds(segmenter.finish()) == ["final"]
    assert segmenter.finish() == []
    assert segmenter.push(chunks(audio((LOUD, 1000)), first_seq=5, start_ms=1000)[0]) == []


def test_the_last_chunk_closes_the_track_even_when_it_is_empty() -> None:
    segmenter = Segmenter(Meter())
    feed(segmenter, chunks(audio((LOUD, 1000))))

    assert kinds(segmenter.push(AudioChunk(5, 1000, b"", received_at_ms=0, last=True))) == ["final"]


def test_a_resumed_track_hears_nothing_from_before() -> None:
    parts = chunks(audio((LOUD, 2000), (QUIET, 1000), (LOUD, 2000), (QUIET, 1000)), last=True)
    stored, expected = finals(feed(Segmenter(Meter()), parts))
    resumed = Segmenter(Meter(), next_seq=stored.seq + 1, resume_ms=stored.end_ms)
    (again,) = finals(feed(resumed, parts[stored.end_ms // CHUNK_MS :]))

    assert again.seq == expected.seq
    assert near(again.start_ms, expected.start_ms)
    assert near(again.end_ms, expected.end_ms)
    assert again.audio_ms >= stored.end_ms


def test_a_segment_names_the_first_chunk_it_needs() -> None:
    (final,) = finals(run((QUIET, 3000), (LOUD, 1000), (QUIET, 1000)))
    assert final.first_seq == final.audio_ms // CHUNK_MS


def test_a_pause_that_is_over_when_its_audio_comes_ends_nothing() -> None:
    hidden = run((LOUD, 960), (QUIET, 384), (LOUD, 1000), (QUIET, 1000))
    seen = run((LOUD, 1024), (QUIET, 384), (LOUD, 1000), (QUIET, 1000))
    assert len(finals(hidden)) == 1
    assert len(finals(seen)) == 2


def test_a_speculation_takes_what_there_is_behind_the_last_word() -> None:
    speculative, final = run((LOUD, 1060), (QUIET, 1000))[-2:]
    assert isinstance(speculative, Decode)
    assert isinstance(final, Decode)
    until_ms = speculative.audio_ms + speculative.samples.size // SAMPLES_PER_MS
    assert until_ms - speculative.end_ms < POLICY.tail_ms
    assert final.reuse
    np.testing.assert_array_equal(final.samples, speculative.samples)


SCRIPTS = st.lists(st.tuples(st.sampled_from([LOUD, FAINT, QUIET]), st.integers(1, 4000)), min_size=1, max_size=25)


def described(actions: Sequence[Action]) -> list[object]:
    return [
        (action.kind, action.seq, action.start_ms, action.end_ms, action.audio_ms, action.samples.tobytes())
        if isinstance(action, Decode)
        else action
        for action in actions
    ]


@given(SCRIPTS)
def test_whatever_is_said(script: list[tuple[int, int]]) -> None:
    pcm = audio(*script)
    whole = np.frombuffer(pcm, "<i2")
    parts = chunks(pcm, last=True)
    segmenter = Segmenter(Meter())
    actions: list[Action] = []
    safe: list[tuple[int, int]] = []
    for chunk in parts:
        actions += segmenter.push(chunk)
        safe.append((segmenter.safe_seq, segmenter.safe_ms))

    assert described(actions) == described(feed(Segmenter(Meter()), parts)), "the same chunks, the same actions"
    assert safe == sorted(safe), "what was safe to trim stays so"
    found = finals(actions)
    ended: set[int] = set()
    for action in actions:
        assert action.seq not in ended, "nothing follows a final or a drop of the same number"
        if isinstance(action, Drop) or action.kind == "final":
            ended.add(action.seq)
    assert {action.seq for action in actions} == ended, "what was shown is finished or dropped"
    for final in found:
        assert final.samples.size <= POLICY.longest_ms * SAMPLES_PER_MS
        assert final.audio_ms <= final.start_ms < final.end_ms
        heard = whole[final.audio_ms * SAMPLES_PER_MS :][: final.samples.size]
        np.testing.assert_allclose(final.samples, heard / 32768)
    for before, after in pairwise(found):
        assert before.seq < after.seq
        assert before.end_ms <= after.start_ms
    _assert_long_speech_is_covered(script, found)


def _assert_long_speech_is_covered(script: list[tuple[int, int]], found: list[Decode]) -> None:
    covered = [(final.audio_ms, final.audio_ms + final.samples.size // SAMPLES_PER_MS) for final in found]
    at_ms = 0
    for level, length_ms in script:
        if level == LOUD and length_ms >= 400:
            for moment in range(at_ms + 2 * WINDOW_MS, at_ms + length_ms - 2 * WINDOW_MS, 100):
                assert any(start <= moment < end for start, end in covered), f"{moment} ms was spoken but not decoded"
        at_ms += length_ms


def test_a_short_segment_comes_with_the_audio_before_it() -> None:
    parts = [(LOUD, 1500), (QUIET, 800), (LOUD, 1000), (QUIET, 800), (LOUD, 9000), (QUIET, 800)]
    heard = np.frombuffer(audio(*parts), "<i2").astype(np.float32) / np.float32(32768)
    policy = replace(POLICY, context_ms=7000)
    for action in run(*parts, policy=policy):
        assert isinstance(action, Decode)
        begin = action.audio_ms * SAMPLES_PER_MS
        wanted = 0 if action.kind == "partial" else policy.context_ms * SAMPLES_PER_MS - action.samples.size
        assert action.context.size == min(max(wanted, 0), begin)
        assert np.array_equal(action.context, heard[begin - action.context.size : begin])


def test_audio_before_a_hole_is_no_context() -> None:
    before, after = audio((LOUD, 1600)), audio((LOUD, 1600), (QUIET, 800))
    segmenter = Segmenter(Meter(), replace(POLICY, context_ms=7000))
    actions = feed(segmenter, [*chunks(before), *chunks(after, first_seq=8, start_ms=3000, last=True)])
    last = finals(actions)[-1]
    assert last.audio_ms == 3000
    assert last.context.size == 0


def test_a_speculation_that_nobody_had_time_for_is_asked_for_once_more() -> None:
    segmenter, asked = Segmenter(Meter()), list[Decode]()
    for chunk in chunks(audio((LOUD, 1060), (QUIET, 1000)), last=True):
        for action in segmenter.push(chunk):
            assert isinstance(action, Decode)
            if action.kind == "speculative":
                asked.append(action)
                if action.early:
                    segmenter.ask_again(action.seq, action.end_ms)
            elif action.kind == "final":
                asked.append(action)
    early, late, final = asked
    assert (early.early, late.early, final.reuse) == (True, False, True)
    assert early.end_ms == late.end_ms == final.end_ms
    np.testing.assert_array_equal(late.samples, final.samples)
    np.testing.assert_array_equal(early.samples, final.samples, "whoever had time, the words are the same")


def test_words_that_ask_for_more_are_given_the_longest_pause() -> None:
    pause_ms = (POLICY.hang_over_ms + POLICY.most_hang_over_ms) // 2
    parts = [(LOUD, 1500), (QUIET, pause_ms), (LOUD, 1500), (QUIET, 1000)]
    assert len(finals(run(*parts))) == 2
    segmenter, actions = Segmenter(Meter()), list[Action]()
    for chunk in chunks(audio(*parts), last=True):
        for action in segmenter.push(chunk):
            actions.append(action)
            if isinstance(action, Decode) and action.kind == "speculative":
                segmenter.expect(action.seq, action.end_ms, 1.0)
    assert len(finals(actions)) == 1


def test_news_of_words_that_were_followed_by_others_change_nothing() -> None:
    segmenter = Segmenter(Meter())
    pcm = audio((LOUD, 1500), (QUIET, 300), (LOUD, 900), (QUIET, 500))
    actions = feed(segmenter, chunks(pcm)[:10])
    segmenter.expect(0, 1500, 1.0)
    segmenter.expect(7, 2700, 1.0)
    actions += feed(segmenter, chunks(pcm)[10:])
    assert len(finals(actions)) == 1


def test_a_speaker_who_pauses_long_between_words_is_let_go_on() -> None:
    pause_ms = POLICY.hang_over_ms + CHUNK_MS + WINDOW_MS
    words = [(LOUD, 900), (QUIET, pause_ms)] * 24
    found = finals(run(*words, (QUIET, 1000)))
    assert len(found) < 20
    lengths = [final.end_ms - final.start_ms for final in found]
    assert all(length < 1000 for length in lengths[:5])
    assert max(lengths) > 2 * 900
