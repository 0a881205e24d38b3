"""Numbers, amounts, addresses and spelled names are written the way people write them; nothing else is touched."""

from __future__ import annotations

import re
import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from infra.model import Word
from workers.asr.written import begin, write, write_words

ENGLISH = [
    # amounts
    ("That's twenty five dollars and fifty cents.", "That's $25.50."),
    ("It is five dollars.", "It is $5."),
    ("You owe one hundred and twenty dollars, right?", "You owe $120, right?"),
    ("a hundred dollars", "$100"),
    ("a hundred and fifty dollars", "$150"),
    ("twelve hundred dollars", "$1,200"),
    ("two thousand three hundred dollars", "$2,300"),
    ("two million dollars", "$2 million"),
    ("a million dollars", "$1 million"),
    ("two point five million dollars", "$2.5 million"),
    ("a twenty-five dollar fee", "a $25 fee"),
    ("thirty euros and five cents", "€30.05"),
    ("It costs ten pounds fifty, please", "It costs £10.50, please"),
    ("two pounds and twenty pence", "£2.20"),
    ("I lost twenty pounds last year", "I lost 20 pounds last year"),
    ("fifty cents", "50 cents"),
    ("25 dollars and 50 cents", "$25.50"),
    ("12.5 dollars", "$12.50"),
    ("Between twenty and thirty dollars", "Between 20 and $30"),
    # percentages and decimals
    ("five percent", "5%"),
    ("one hundred per cent sure", "100% sure"),
    ("a hundred percent", "100%"),
    ("a hundred and one percent", "101%"),
    ("three point five percent", "3.5%"),
    ("zero point five", "0.5"),
    ("point five percent", "0.5%"),
    ("pi is three point one four one five nine", "pi is 3.14159"),
    ("version two point oh", "version 2.0"),
    ("two point twenty five", "2.25"),
    # counts
    ("I have twenty-three items", "I have 23 items"),
    ("there were one hundred and five of them", "there were 105 of them"),
    ("twelve thousand five hundred people", "12,500 people"),
    ("three million people", "3 million people"),
    ("one million two hundred thousand", "1,200,000"),
    ("five to ten business days", "5 to 10 business days"),
    ("nine or ten", "9 or 10"),
    ("a thirty second wait", "a 30 second wait"),
    ("twenty-four-hour service", "24-hour service"),
    ("twenty four seven", "24/7"),
    ("the first twenty people", "the first 20 people"),
    # digits one by one
    ("My number is oh two oh seven double three nine.", "My number is 0207339."),
    ("Nine, zero, seven, eight, six, six, six, six, one, seven.", "9078666617."),
    ("four one two, six six six, six one", "412, 666, 61"),
    ("my account number is one two three four", "my account number is 1234"),
    ("the code is triple seven", "the code is 777"),
    ("a card ending in four two", "a card ending in 42"),
    ("call nine one one", "call 911"),
    ("one eight hundred five five five one two one two", "18005551212"),
    ("four fifteen five five five twelve twelve", "4155551212"),
    ("plus four four seven seven oh oh nine oh oh one two three", "+447700900123"),
    ("flight one twenty three", "flight 123"),
    ("zero zero seven", "007"),
    ("It's 5 5 5 1 2 1 2", "It's 5551212"),
    # years and dates
    ("since nineteen ninety nine", "since 1999"),
    ("in nineteen oh five", "in 1905"),
    ("in twenty twenty four", "in 2024"),
    ("a twenty eighteen Tesla Model S", "a 2018 Tesla Model S"),
    ("two thousand and five", "2005"),
    ("on the twenty first of May nineteen ninety nine", "on the 21st of May 1999"),
    ("on May fifth, twenty twenty", "on May 5th, 2020"),
    ("April nineteen, nineteen eighty eight", "April 19, 1988"),
    ("the first of June", "the 1st of June"),
    ("June two", "June 2"),
    ("the twenty second", "the 22nd"),
    ("the twelfth floor", "the 12th floor"),
    # times
    ("at two thirty", "at 2:30"),
    ("at nine oh five", "at 9:05"),
    ("two thirty p m.", "2:30 p.m."),
    ("at eight a. M. tomorrow", "at 8 a.m. tomorrow"),
    ("five pm", "5 pm"),
    ("five o'clock", "5 o'clock"),
    ("from nine thirty to five fifteen", "from 9:30 to 5:15"),
    ("tomorrow at eleven", "tomorrow at 11"),
    ("ten thirty in the morning", "10:30 in the morning"),
    # addresses
    ("It's jack dot sitilley at gmail dot com.", "It's jack.sitilley@gmail.com."),
    ("my email is Jack underscore Smith five five at Yahoo dot co dot uk", "my email is jack_smith55@yahoo.co.uk"),
    ("write to info at hearline dash voice dot com by email", "write to info at hearline-voice.com by email"),
    ("my email address is mary at acme dot org", "my email address is mary@acme.org"),
    ("S I T I double L at gmail dot com", "sitill@gmail.com"),
    ("j smith at g mail dot com", "jsmith@gmail.com"),
    ("visit us at hearline dot com slash help", "visit us at hearline.com/help"),
    ("www dot example dot org", "www.example.org"),
    ("I work at acme dot com", "I work at acme.com"),
    ("jack.sitilley at gmail.com", "jack.sitilley@gmail.com"),
    # spelled names
    ("It's S I T I double L", "It's SITILL"),
    ("S-I-T-I-L-L.", "SITILL."),
    ("S, I, T, I, L, L, E, Y", "SITILLEY"),
    ("S. I. T. I.", "SITI."),
    ("that is S M I T H I think", "that is SMITH I think"),
    ("postcode S W one A two A A", "postcode SW1A2AA"),
    ("my order is A B one two three", "my order is AB123"),
]

KEPT = [
    "one of them",
    "no one",
    "two or three things",
    "Let me ask you one more thing.",
    "first of all",
    "wait a second",
    "on the one hand",
    "one, two, three",
    "nine to five",
    "a hundred times",
    "a couple of hundred",
    "at that point five people had called",
    "I, I, I think so",
    "a B and C",
    "half past two",
    "half past ten",
    "ten to five",
    "quarter to eleven",
    "it may five",
    "two-factor",
    "fifteen twenty minutes",
    "one third of them",
    "in U.S.A. we",
    "8 a.m. to 10 a.m.",
    "$25.50",
    "the dot com bubble",
    "look at the point",
    "double check",
    "thousands of miles",
    "a B12 percent",
    "I paid nineteen ninety nine for it",
    "half a million dollars",
    "three quarters of a million dollars",
    "at one point two people left",
    "a m a m",
    "oh, two things",
    "I've got two. One is here.",
    "seven or eight",
    "",
    " ",
]

GERMAN = [
    ("Das macht fünfundzwanzig Euro und fünfzig Cent.", "Das macht 25,50 €."),
    ("drei Komma fünf Prozent", "3,5 %"),
    ("ein Mann und zwei Frauen", "ein Mann und zwei Frauen"),
    ("eine Million zweihunderttausend", "1.200.000"),
    ("zweitausendvierundzwanzig", "2024"),
    ("eins zwei drei vier", "1234"),
    ("jack punkt meier at gmx punkt de", "jack.meier@gmx.de"),
    ("fünf Euro", "5 €"),
    ("M E I E R", "MEIER"),
]
SPANISH = [
    ("Son veinticinco euros con cincuenta céntimos.", "Son 25,50 €."),
    ("el tres por ciento", "el 3 %"),
    ("uno de ellos", "uno de ellos"),
    ("mil novecientos noventa y nueve", "1999"),
    ("un coche y dos casas", "un coche y dos casas"),
    ("seis cinco cuatro tres dos uno", "654321"),
    ("ana punto lopez arroba gmail punto com", "ana.lopez@gmail.com"),
]
FRENCH = [
    ("Ça fait vingt-cinq euros et cinquante centimes.", "Ça fait 25,50 €."),
    ("trois virgule cinq pour cent", "3,5 %"),
    ("un homme et une femme", "un homme et une femme"),
    ("zéro six douze trente-quatre cinquante-six soixante-dix-huit", "06 12 34 56 78"),
    ("mille neuf cent quatre-vingt-dix-neuf", "1999"),
    ("un téléphone neuf", "un téléphone neuf"),
    ("jean point dupont arobase orange point fr", "jean.dupont@orange.fr"),
    ("y a-t-il", "y a-t-il"),
]


@pytest.mark.parametrize(("spoken", "written"), ENGLISH)
def test_english_is_written_as_people_write_it(spoken: str, written: str) -> None:
    assert write(spoken, "en") == written


@pytest.mark.parametrize("text", KEPT)
def test_small_counts_and_figures_of_speech_stay_words(text: str) -> None:
    assert write(text, "en") == text


@pytest.mark.parametrize(
    ("language", "spoken", "written"),
    [(language, *pair) for language, pairs in (("de", GERMAN), ("es", SPANISH), ("fr", FRENCH)) for pair in pairs],
)
def test_german_spanish_and_french_are_too(language: str, spoken: str, written: str) -> None:
    assert write(spoken, language) == written


def test_a_language_without_rules_is_left_alone() -> None:
    assert write("двадцать пять долларов", "ru") == "двадцать пять долларов"
    assert write("twenty five dollars", "ru") == "twenty five dollars"


WORDS = (
    "zero one two three five seven nine ten eleven nineteen twenty thirty eighty hundred thousand million oh o a an "
    "first second third fifth twenty-first May june of the in at by to or and point percent per cent dollars dollar "
    "cents euros pounds pence double triple dot com gmail slash www dash underscore jack email number is a.m. p m pm "
    "o'clock past half I S T L X 5 7 25 12.50 1,200 $5 9:30 plus you people minutes that. what, yes"
).split()
MARKS = st.sampled_from([" ", " ", " ", " ", ", ", ". ", "-", "  ", ""])
sentences = st.lists(st.tuples(st.sampled_from(WORDS), MARKS), max_size=14).map(
    lambda pairs: "".join(word + mark for word, mark in pairs)
)
languages = st.sampled_from(["en", "de", "es", "fr"])


def digits(text: str) -> list[str]:
    return re.findall(r"\d", text)


@given(sentences, languages)
@settings(max_examples=400, deadline=None)
def test_what_is_written_is_not_written_again(text: str, language: str) -> None:
    once = write(text, language)
    assert write(once, language) == once


@given(sentences | st.text(max_size=80), languages)
@settings(max_examples=400, deadline=None)
def test_no_digit_is_lost_or_moved(text: str, language: str) -> None:
    left = iter(digits(write(text, language)))
    assert all(digit in left for digit in digits(text))


@given(st.lists(st.sampled_from("the parcel came late and nobody called me back so please check it now".split())))
def test_text_without_numbers_is_unchanged(words: list[str]) -> None:
    text = " ".join(words)
    assert write(text, "en") == text


@given(sentences, sentences)
@settings(max_examples=300, deadline=None)
def test_a_finished_sentence_stays_as_it_is_while_more_is_said(said: str, more: str) -> None:
    said += " The parcel came late. "
    assert write(said + more, "en").startswith(write(said, "en").rstrip())


def test_while_somebody_speaks_only_the_end_changes() -> None:
    words = "so the total comes to twenty five dollars and fifty cents and my number is four one five five oh".split()
    shown = [write(" ".join(words[:count]), "en") for count in range(1, len(words) + 1)]
    assert shown[4:11] == [
        "so the total comes to",
        "so the total comes to 20",
        "so the total comes to 25",
        "so the total comes to $25",
        "so the total comes to $25 and",
        "so the total comes to $25 and 50",
        "so the total comes to $25.50",
    ]
    assert shown[-1] == "so the total comes to $25.50 and my number is 41550"
    assert all(later.startswith("so the total comes to $25.50 and") for later in shown[11:])


def timed(text: str, probability: float = 0.9) -> tuple[Word, ...]:
    return tuple(Word(word, 100 * at, 100 * at + 80, probability) for at, word in enumerate(text.split()))


class TestWords:
    def test_a_written_word_lasts_as_long_as_the_spoken_ones_it_stands_for(self) -> None:
        said = "That's twenty five dollars and fifty cents, right?"
        text, words = write_words(said, timed(said), "en")
        assert [word.w for word in words] == text.split() == ["That's", "$25.50,", "right?"]
        assert [(word.start_ms, word.end_ms) for word in words] == [(0, 80), (100, 680), (700, 780)]

    def test_it_is_as_doubtful_as_the_most_doubtful_of_them(self) -> None:
        said = (Word("twenty", 0, 1, 0.9), Word("five", 1, 2, 0.3), Word("dollars", 2, 3, 0.8), Word("now", 3, 4, 0.7))
        _, words = write_words("twenty five dollars now", said, "en")
        assert words == (Word("$25", 0, 3, 0.3), Word("now", 3, 4, 0.7))

    @pytest.mark.parametrize(("language", "spoken"), [("en", pair[0]) for pair in ENGLISH] + [("de", GERMAN[0][0])])
    def test_the_words_are_those_of_the_text(self, language: str, spoken: str) -> None:
        text, words = write_words(spoken, timed(spoken), language)
        assert [word.w for word in words] == text.split()
        assert words[0].start_ms == 0
        assert words[-1].end_ms == timed(spoken)[-1].end_ms

    @given(sentences)
    @settings(max_examples=200, deadline=None)
    def test_so_are_they_for_any_text(self, said: str) -> None:
        text, words = write_words(said, timed(said), "en")
        assert [word.w for word in words] == text.split()

    def test_a_recogniser_may_cut_words_its_own_way(self) -> None:
        said = (Word(" twenty", 0, 1, 0.9), Word("-five", 1, 2, 0.9), Word(" dollars.", 2, 3, 0.9))
        assert write_words(" twenty-five dollars.", said, "en") == (" $25.", (Word("$25.", 0, 3, 0.9),))

    def test_words_that_are_not_the_text_s_stay_as_they_are(self) -> None:
        said = timed("thirty five dollars")
        assert write_words("twenty five dollars", said, "en") == ("$25", said)


def test_a_segment_takes_less_than_a_millisecond() -> None:
    text = "so your total is one hundred and five dollars and my number is four one five five oh please call at two"
    write(text, "en")
    best = min(_seconds(text) for _ in range(20))
    assert best < 0.005, "the measured figure is in docs/decisions; a busy machine gets some grace"


def _seconds(text: str) -> float:
    began = time.perf_counter()
    write(text, "en")
    return time.perf_counter() - began


@pytest.mark.parametrize(
    ("text", "begun"),
    [
        ("of a truth I heard him", "Of a truth I heard him"),
        ("it's late.", "It's late."),
        ("élan", "Élan"),
        ("iPhone is broken", "iPhone is broken"),
        ("anna@example.com is mine", "anna@example.com is mine"),
        ("3 cups", "3 cups"),
        ("thank you. it's on the way! thanks.", "Thank you. It's on the way! Thanks."),
        (
            "at 9 a.m. on Main St. we met Mrs. jones etc. and left",
            "At 9 a.m. on Main St. we met Mrs. jones etc. and left",
        ),
        ("", ""),
    ],
)
def test_a_line_begins_with_a_capital(text: str, begun: str) -> None:
    words = [Word(word, index, index + 1, 0.5) for index, word in enumerate(text.split())]
    told, written = begin(text, words)
    assert told == begun
    assert [word.w for word in written] == begun.split()
