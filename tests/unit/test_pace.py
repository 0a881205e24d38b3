"""How long a pause has to be before it is an end."""

import pytest

from workers.asr.engines import Recognition
from workers.asr.pace import LONGEST_MS, SHORTEST_MS, Pace, more_to_come


def pace(*pauses_ms: int) -> Pace:
    heard = Pace()
    for pause_ms in pauses_ms:
        heard.paused(pause_ms)
    return heard


def test_a_stranger_gets_the_usual_pause() -> None:
    assert pace().pause_ms(300, 400, 800) == 400
    assert pace(600, 600, 600).pause_ms(300, 400, 800) == 400


def test_a_slow_speaker_gets_more_and_a_quick_one_less_within_bounds() -> None:
    assert pace(*[500] * 10).pause_ms(300, 400, 800) == 600
    assert pace(*[690] * 10).pause_ms(300, 400, 800) == 800
    assert pace(*[100] * 10).pause_ms(300, 400, 800) == 300


def test_the_latest_pauses_count() -> None:
    assert pace(*[690] * 30, *[100] * 30).pause_ms(300, 400, 800) == 300


def test_consonants_and_other_peoples_turns_are_no_pauses() -> None:
    assert pace(*[SHORTEST_MS - 1, LONGEST_MS + 1] * 20).pause_ms(300, 400, 800) == 400


@pytest.mark.parametrize(
    ("text", "language"),
    [
        ("I would like to", "en"),
        ("I would like to.", "en"),
        ("My number is.", "en"),
        ("I would like two cups", "en"),
        ("Ich hätte gerne eine.", "de"),
        ("Quiero el.", "es"),
        ("Je voudrais un.", "fr"),
        ('He said "I would like to."', "en"),
        ('He said "two cups"', "en"),
        ("\u79c1\u306f", "ja"),
    ],
)
def test_words_that_ask_for_more(text: str, language: str) -> None:
    assert more_to_come(Recognition(text, language, 0.9, more=0.01)) == 1.0


@pytest.mark.parametrize(
    ("text", "language"),
    [
        ("", "en"),
        ("Yes.", "en"),
        ("What is it for?", "xx"),
        ("I would like two cups.", "en"),
        ("Das ist gut.", "de"),
        ('He said "two cups."', "en"),
        ("Er sagte \u201eJa.\u201c", "de"),
        ("Il a dit \u00ab\u00a0oui.\u00a0\u00bb", "fr"),
        ("\u305d\u3046\u3067\u3059\u3002", "ja"),
        ("\u662f\u5417\uff1f", "zh"),
        ("\u0939\u093e\u0901\u0964", "hi"),
        ("\u0643\u064a\u0641\u061f", "ar"),
    ],
)
def test_words_that_do_not(text: str, language: str) -> None:
    assert more_to_come(Recognition(text, language, 0.9)) is None


def test_the_recognisers_own_doubt_about_its_mark_counts() -> None:
    assert more_to_come(Recognition("I would like two cups.", "en", 0.9, more=0.4)) == 0.4


def test_a_recogniser_without_marks_does_not_make_everybody_wait() -> None:
    assert more_to_come(Recognition("i would like two cups", "en", 0.9), punctuation=False) is None
    assert more_to_come(Recognition("i would like to", "en", 0.9), punctuation=False) == 1.0
