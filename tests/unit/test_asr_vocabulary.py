"""How phrases are written where they were recognised, and what makes a recogniser look for one."""

from collections.abc import Sequence
from itertools import pairwise

import pytest

from infra.model import Word
from workers.asr.engines import Recognition
from workers.asr.engines.biasing import MOST_GUESSES, WITHIN, Lexicon, hinted, marks_after, spellings
from workers.asr.engines.pieces import FIRST_BYTE, FIRST_PIECE, SPACE, Pieces
from workers.asr.engines.sounds import SOUNDS, Sounds, sounds
from workers.asr.vocabulary import in_display_form

VOCABULARY = (
    "HealthHarbor",
    "iPhone",
    "Silverton Prime",
    "Will",
    "Kowalczyk",
    "RapidRx",
    "McDonald's",
    "A1 Plus",
    "Chromecast",
)


def timed(text: str) -> tuple[Word, ...]:
    return tuple(Word(word, 100 * at, 100 * at + 90, 0.5 + at / 100) for at, word in enumerate(text.split()))


class TestDisplayForm:
    @pytest.mark.parametrize(
        ("heard", "written"),
        [
            ("My health harbor policy.", "My HealthHarbor policy."),
            ("My Health-Harbor, please.", "My HealthHarbor, please."),
            ("Is healthharbor's number new?", "Is HealthHarbor's number new?"),
            ("An I phone and an IPHONE.", "An iPhone and an iPhone."),
            ("A SILVERTON prime card", "A Silverton Prime card"),
            ("KOWALCZYK and kowalczyk", "Kowalczyk and Kowalczyk"),
            ("rapid RX, or Rapid rx?", "RapidRx, or RapidRx?"),
            ("at mcdonalds", "at McDonald's"),
            ("buy a chromecast", "buy a Chromecast"),
            ("the a1 plus", "the A1 Plus"),
            ("I will ask Will.", "I will ask Will."),
            ("health. Harbor", "health. Harbor"),
            ("silverton, prime", "silverton, prime"),
            ("healthharbors", "healthharbors"),
            ("an iphoney", "an iphoney"),
            ("", ""),
        ],
    )
    def test_a_phrase_is_written_as_its_tenant_writes_it(self, heard: str, written: str) -> None:
        text, words = in_display_form(heard, timed(heard), VOCABULARY)
        assert text == written
        assert " ".join(word.w for word in words) == written
        assert all(before.end_ms <= after.start_ms for before, after in pairwise(words))

    @pytest.mark.parametrize(
        ("heard", "written"),
        [
            ("Is it Yahoo!", "Is it Yahoo!"),
            ("YAHOO! mail", "Yahoo! mail"),
            ("yahoo. Mail", "Yahoo!. Mail"),
            ("Yahoo's mail", "Yahoo!'s mail"),
            ("Contoso Inc. is here", "Contoso Inc. is here"),
            ("contoso inc. yahoo", "Contoso Inc. Yahoo!"),
            ("contoso inc, yahoo", "Contoso Inc., Yahoo!"),
            ("learn .Net and C+", "learn .NET and C++"),
            ("c .net", "C++ .NET"),
        ],
    )
    def test_marks_that_belong_to_a_phrase_are_written_once(self, heard: str, written: str) -> None:
        phrases = ("Yahoo!", "Contoso Inc.", ".NET", "C++")
        text, words = in_display_form(heard, timed(heard), phrases)
        assert text == written
        assert " ".join(word.w for word in words) == written
        assert in_display_form(text, words, phrases) == (text, words)

    def test_two_words_that_become_one_last_as_long_as_both(self) -> None:
        _, words = in_display_form("my health harbor, yes", timed("my health harbor, yes"), VOCABULARY)
        assert words[1] == Word("HealthHarbor,", 100, 290, 0.51)
        assert len(words) == 3

    def test_the_longest_phrase_wins(self) -> None:
        assert in_display_form("silverton prime", (), ("SILVERTON", "SilvertonPrime"))[0] == "SilvertonPrime"

    def test_without_a_vocabulary_nothing_changes(self) -> None:
        words = timed("my health harbor")
        assert in_display_form("my health harbor", words, ()) == ("my health harbor", words)


class TestPieces:
    TABLE: Sequence[bytes] = [b"?"] * FIRST_PIECE + [
        piece.encode() for piece in ("ab", SPACE + "a", "abc", SPACE + "abc", "bc", "c", "b", "a", SPACE, "d", "\u00e9")
    ]

    def encode(self, text: str) -> list[str]:
        return [self.TABLE[token].decode() for token in Pieces(self.TABLE).encode(text)]

    def test_the_earliest_piece_of_the_table_is_merged_first(self) -> None:
        assert self.encode("abc") == [SPACE + "abc"]  # ab, then abc, then with the space
        assert self.encode("a") == [SPACE + "a"]
        assert self.encode("d abcd") == [SPACE, "d", SPACE + "abc", "d"]
        assert self.encode("d\u00e9") == [SPACE, "d", "\u00e9"]

    def test_what_the_table_lacks_is_written_in_bytes(self) -> None:
        expected = tuple(FIRST_BYTE + byte for byte in "\u0142".encode())
        assert Pieces(self.TABLE).encode("d\u0142")[2:] == expected

    def test_nothing_is_nothing(self) -> None:
        assert Pieces(self.TABLE).encode("") == ()


class TestSounds:
    @pytest.mark.parametrize(
        ("one", "other"),
        [
            ("Kowalczyk", "covalchick"),
            ("Zyrvana", "Zirvana"),
            ("Balasubramanian", "Bella Subramanian"),
            ("Anneliese Krueger", "Annalise Kruger"),
            ("HealthHarbor", "health harbour"),
            ("Lanzarote", "Lanzaro"),
            ("BrightPay", "Bright paid"),
        ],
    )
    def test_what_sounds_alike_is_near(self, one: str, other: str) -> None:
        best = Sounds([one]).find(other.split(), within=WITHIN)[0]
        assert (best.start, best.end) == (0, len(other.split()))
        assert best.distance < 0.25

    @pytest.mark.parametrize(
        ("one", "other"), [("Zyrvana", "insurance"), ("Kowalczyk", "account"), ("Nguyen", "policy")]
    )
    def test_what_does_not_is_far(self, one: str, other: str) -> None:
        assert Sounds([one]).find([other], within=WITHIN) == []

    def test_a_phrase_is_found_in_the_middle_with_its_words(self) -> None:
        words = "I would like to ask prianca ragu nathan about the fee".split()
        phrases = ["Zyrvana", "Priyanka Raghunathan", "HealthHarbor"]
        best = Sounds(phrases).find(words, within=WITHIN)[0]
        assert (phrases[best.phrase], words[best.start : best.end]) == (
            "Priyanka Raghunathan",
            ["prianca", "ragu", "nathan"],
        )

    def test_every_phrase_is_compared_as_if_it_were_alone(self) -> None:
        phrases = ["Zyrvana", "Lumenthal", "Kowalczyk", "Portalis", "", "..."]
        words = "the sirvana and the lumen tall of mister kovalchick in portales".split()
        together = Sounds(phrases).find(words, within=WITHIN)
        for number, phrase in enumerate(phrases):
            alone = Sounds([phrase]).find(words, within=WITHIN)
            assert [(one.distance, one.start, one.end) for one in alone] == [
                (one.distance, one.start, one.end) for one in together if one.phrase == number
            ]
        assert {one.phrase for one in together} == {0, 1, 2, 3}

    @pytest.mark.parametrize("text", ["", "...", "\u4f60\u597d", "\U0001f600", "1234", "\u00c6\u00d8\u0141", "x" * 500])
    def test_any_text_has_sounds(self, text: str) -> None:
        assert set(sounds(text)) <= set(SOUNDS)
        assert Sounds([text]).find([text, "word", ""], within=WITHIN) is not None

    def test_no_phrases_no_likeness(self) -> None:
        assert Sounds([]).find(["word"], within=WITHIN) == []


class TestGuesses:
    def test_a_phrase_that_was_heard_is_not_guessed_at(self) -> None:
        assert Lexicon(("Zyrvana", "Zirvana")).guesses(["the", "Zyrvana,", "twice"]) == []
        assert Lexicon(("HealthHarbor",)).guesses(["my", "Health", "harbor."]) == []

    def test_a_phrase_that_the_words_sound_like_is(self) -> None:
        (guess,) = Lexicon(("Zyrvana", "Kowalczyk")).guesses("the sirvana, twice".split())
        assert (guess.phrase, guess.place.start, guess.place.end) == ("Zyrvana", 1, 2)
        assert guess.trust > 5

    def test_short_phrases_sound_like_too_much(self) -> None:
        assert Lexicon(("Iyer", "Bo", "Oh")).guesses("your bow or your eye".split()) == []

    def test_a_text_asks_for_so_many_and_no_more(self) -> None:
        phrases = tuple(f"Zyrvan{ending}" for ending in ("a", "o", "e", "i", "ia", "io", "ea", "eo", "oa", "ao"))
        assert len(Lexicon(phrases).guesses(["sirvana"] * 3)) == MOST_GUESSES

    def test_spellings_and_marks(self) -> None:
        assert spellings("HealthHarbor") == ("HealthHarbor", "Health Harbor")
        assert spellings("iPhone") == ("iPhone", "I Phone")
        assert spellings("Zyrvana") == ("Zyrvana",)
        assert [marks_after(word) for word in ("paid", "paid,", "Paul's.", "what?!")] == ["", ",", "'s.", "?!"]


class TestHints:
    HEARD = Recognition("The doctor prescribed sirvana, and I paid.", "en", 0.8)

    def listen(
        self, answer: str, confidence: float = 0.8, vocabulary: tuple[str, ...] = ("Zyrvana", "Kowalczyk")
    ) -> str:
        def again(hint: str) -> Recognition:
            self.hint = hint
            return Recognition(answer, "en", confidence)

        self.hint = ""
        return hinted(self.HEARD, vocabulary, again).text

    def test_the_recogniser_is_told_what_it_may_have_misheard_and_nothing_else(self) -> None:
        better = "The doctor prescribed Zyrvana, and I paid."
        assert self.listen(better) == better
        assert self.hint == "Zyrvana"

    def test_it_is_not_asked_again_where_nothing_sounds_like_a_phrase(self) -> None:
        assert self.listen("anything", vocabulary=("Kowalczyk",)) == self.HEARD.text
        assert self.hint == ""
        assert self.listen("anything", vocabulary=()) == self.HEARD.text

    @pytest.mark.parametrize(
        "answer",
        [
            "",
            "Zyrvana",
            "Zyrvana, Zyrvana, Zyrvana.",
            "The doctor prescribed Zyrvana, and I paid. Zyrvana.",
            "The doctor describes Zyrvana, and I paid.",
            "The doctor prescribed serve Anna, and I paid.",
            "The doctor prescribed sirvana, and I paid.",
        ],
    )
    def test_an_answer_that_differs_in_more_than_the_phrase_is_not_believed(self, answer: str) -> None:
        assert self.listen(answer) == self.HEARD.text

    def test_nor_one_that_it_doubts(self) -> None:
        assert self.listen("The doctor prescribed Zyrvana, and I paid.", confidence=0.5) == self.HEARD.text
