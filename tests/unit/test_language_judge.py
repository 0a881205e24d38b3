"""Which language a track is taken for, by what its segments say."""

import itertools
from collections.abc import Iterable, Mapping

import hypothesis.strategies as st
import pytest
from hypothesis import given

from workers.asr.engines import EngineUnusableError, Recognition
from workers.asr.language_judge import AGAIN_MS, LanguageJudge, Languages, languages_for

ABLE = frozenset({"en", "es", "de", "fr"})
FOUR = languages_for((), ABLE)
SPANISH = {"es": 0.9, "en": 0.01, "fr": 0.01}
ENGLISH = {"en": 0.95, "es": 0.01}
HELLO = {"en": 0.25, "de": 0.3, "es": 0.2, "fr": 0.1}
"""As a short 'hello' is told."""


def heard(evidence: Mapping[str, float], confidence: float = 0.9) -> Recognition:
    return Recognition("so", "en", confidence, languages=evidence)


def tell(judge: LanguageJudge, *evidence: Mapping[str, float], spoken_ms: int = 2000) -> list[str]:
    """The language after each of these segments."""
    seqs = itertools.count(judge._seq + 1)
    said = []
    for each in evidence:
        judge.hear(next(seqs), spoken_ms, heard(each))
        said.append(judge.language)
    return said


def test_a_track_speaks_the_main_language_until_there_is_evidence() -> None:
    assert LanguageJudge(FOUR).language == "en"
    assert LanguageJudge(languages_for(("de", "en"), ABLE)).language == "de"


def test_another_language_is_found_in_its_first_sentence() -> None:
    judge = LanguageJudge(FOUR)
    judge.hear(0, 2000, heard(SPANISH))
    assert judge.language == judge.found == "es"
    assert judge.probability > 0.85


def test_a_language_is_found_when_enough_was_said_in_it() -> None:
    judge = LanguageJudge(FOUR)
    assert judge.found is None
    tell(judge, HELLO, spoken_ms=400)
    assert judge.found is None
    tell(judge, ENGLISH)
    assert judge.found == "en"
    tell(judge, HELLO, spoken_ms=400)
    assert judge.found == "en"


def test_a_short_hello_turns_nothing_over() -> None:
    judge = LanguageJudge(FOUR)
    assert tell(judge, HELLO, HELLO, HELLO, spoken_ms=400) == ["en"] * 3
    assert tell(LanguageJudge(FOUR), {"es": 1.0}, spoken_ms=300) == ["en"]


def test_one_odd_sentence_does_not_turn_a_call_over() -> None:
    judge = LanguageJudge(FOUR)
    assert set(tell(judge, *[ENGLISH] * 5, SPANISH, *[ENGLISH] * 5)) == {"en"}


def test_a_change_of_language_is_noticed_after_an_hour_too() -> None:
    judge = LanguageJudge(FOUR)
    tell(judge, *[ENGLISH] * 900)
    assert tell(judge, *[SPANISH] * 3)[-1] == "es"
    assert tell(judge, *[ENGLISH] * 3)[-1] == "en"


def test_mixed_evidence_does_not_make_a_see_saw() -> None:
    judge = LanguageJudge(FOUR)
    said = tell(judge, *[SPANISH, ENGLISH] * 30)
    assert sum(one != other for one, other in itertools.pairwise(said)) <= 2


def test_a_sentence_that_is_clearly_in_another_language_is_written_in_that() -> None:
    judge = LanguageJudge(FOUR)
    tell(judge, *[ENGLISH] * 5)
    clear = Recognition("si", "es", 0.9, languages={"es": 0.95, "en": 0.001})
    judge.hear(9, 2000, clear)
    assert judge.language == "en"
    assert judge.accepts(clear, 2000)
    assert not judge.accepts(clear, 400)
    assert not judge.accepts(Recognition("si", "es", 0.9, languages={"es": 0.6, "en": 0.1}), 2000)
    assert not judge.accepts(Recognition("si", "es", 0.9), 2000)
    assert judge.accepts(Recognition("yes", "en", 0.9), 300)


def test_a_longer_decode_of_a_segment_replaces_the_shorter_one() -> None:
    judge = LanguageJudge(FOUR)
    for _ in range(20):
        judge.hear(0, 1000, heard({"es": 0.5, "en": 0.2}))
    assert judge.language == "en"
    judge.hear(0, 3000, heard(ENGLISH))
    fresh = LanguageJudge(FOUR)
    fresh.hear(0, 3000, heard(ENGLISH))
    assert judge.lead == pytest.approx(fresh.lead)


def test_a_late_answer_for_an_earlier_segment_is_left_out() -> None:
    judge = LanguageJudge(FOUR)
    tell(judge, ENGLISH, ENGLISH)
    before = judge.lead
    judge.hear(0, 9000, heard(SPANISH))
    assert judge.lead == before


def test_a_track_is_judged_until_its_language_is_sure_and_not_in_a_hurry() -> None:
    judge = LanguageJudge(FOUR)
    assert judge.ask() == "auto"
    assert judge.ask(hurry=True) == "en"
    tell(judge, *[ENGLISH] * 9)
    assert judge.ask() == "en"


def test_what_was_not_judged_and_is_hard_to_hear_is_doubted() -> None:
    judge = LanguageJudge(FOUR)
    assert judge.doubts(heard({}, confidence=0.3))
    assert not judge.doubts(heard({}, confidence=0.9))
    assert not judge.doubts(heard(ENGLISH, confidence=0.3))


def test_a_sure_language_is_looked_at_again_after_a_while_or_when_it_is_hard_to_hear() -> None:
    judge = LanguageJudge(FOUR)
    tell(judge, *[SPANISH] * 3)
    assert judge.ask() == "es"
    for seq in range(10, 10 + AGAIN_MS // 6000):
        assert judge.ask() == "es"
        judge.hear(seq, 6000, heard({}))
    assert judge.ask() == "auto"
    judge.hear(30, 2000, heard(SPANISH))
    assert judge.ask() == "es"
    judge.hear(31, 2000, heard({}, confidence=0.3))
    assert judge.ask() == "auto"


def test_a_new_owner_goes_on_with_what_was_known() -> None:
    judge = LanguageJudge(FOUR, known="fr")
    assert judge.language == judge.found == "fr"
    assert tell(judge, {"fr": 0.5, "en": 0.4})[-1] == "fr"
    assert LanguageJudge(FOUR, known="xx").language == "en"


def test_only_candidates_are_found() -> None:
    judge = LanguageJudge(languages_for(("en", "es"), ABLE))
    assert tell(judge, {"fr": 0.6, "es": 0.3, "en": 0.01}) == ["es"]
    assert tell(LanguageJudge(languages_for(("en", "es"), ABLE)), *[{"fr": 0.99}] * 5)[-1] == "en"


def test_no_evidence_changes_nothing() -> None:
    judge = LanguageJudge(FOUR)
    lead = judge.lead
    judge.hear(0, 2000, heard({}))
    assert judge.lead == lead


def test_one_language_alone_is_never_doubted() -> None:
    judge = LanguageJudge(Languages("de"))
    assert judge.ask() == "de"
    assert judge.language == "de"
    assert judge.probability == 1.0


def test_a_language_that_nobody_writes_is_refused_by_name() -> None:
    with pytest.raises(EngineUnusableError, match=r"ASR_LANGUAGES.*xx"):
        languages_for(("en", "xx"), ABLE)


def test_among_all_languages_the_main_one_is_left_less_easily() -> None:
    among_all, among_named = LanguageJudge(FOUR), LanguageJudge(languages_for(("en", "es", "de", "fr"), ABLE))
    unclear = {"es": 0.45, "en": 0.05}
    assert (tell(among_all, unclear), tell(among_named, unclear)) == (["en"], ["es"])


def test_the_first_of_those_asked_for_is_the_main_one() -> None:
    assert languages_for(("fr", "en"), ABLE) == Languages("fr", frozenset({"en"}))
    assert languages_for((), ABLE) == Languages("en", ABLE - {"en"}, 2.0)
    assert "la" not in languages_for((), ABLE | {"la"}).all
    assert "la" in languages_for(("en", "la"), ABLE | {"la"}).all


EVIDENCE = st.dictionaries(st.sampled_from(sorted(ABLE)), st.floats(0, 1), max_size=4)


@given(st.lists(st.tuples(EVIDENCE, st.integers(0, 20_000)), max_size=40))
def test_whatever_is_heard_the_language_is_a_candidate_and_the_probability_one(
    story: Iterable[tuple[dict[str, float], int]],
) -> None:
    judge = LanguageJudge(FOUR)
    for seq, (evidence, spoken_ms) in enumerate(story):
        before = judge.language
        judge.hear(seq, spoken_ms, heard(evidence))
        assert judge.language in ABLE
        assert 0 < judge.probability <= 1
        assert judge.ask() in {"auto", judge.language}
        if judge.language != before:
            assert judge.lead >= 0
