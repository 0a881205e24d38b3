"""Runs Moonshine's three graphs: audio to state, state to tokens, tokens to probabilities and attention."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from heapq import nlargest
from pathlib import Path
from typing import Any, Final

import numpy as np
import onnxruntime as ort
from numpy.typing import NDArray

from workers.asr.engines.moonshine_graphs import ALIGNMENT, CROSS, ENCODER, STEP
from workers.asr.text import loop_length

START: Final = 1
END: Final = 2
NEAR: Final = 10.0
"""Log-probabilities: in most steps there are some tokens so near to the most likely one, and not many."""

State = dict[str, NDArray[Any]]
"""What `step.onnx` is fed beside tokens: the audio's keys and values, and the cache of the tokens so far."""


@dataclass(frozen=True, slots=True)
class Hypothesis:
    """A token sequence and the mean log-probability of its tokens, the end marker included."""

    tokens: tuple[int, ...]
    score: float


@dataclass(frozen=True, slots=True, eq=False)
class Read:
    """What the model made of the tokens of a text."""

    probabilities: NDArray[np.float32]
    """Of each token, shape (tokens,)."""
    looked: NDArray[np.float32]
    """Where it looked, shape (tokens, frames)."""
    last: NDArray[np.float32]
    """The log-probabilities of what might stand in the place of the last token, shape (vocabulary,)."""


@dataclass(frozen=True, slots=True, eq=False)
class Followed:
    """What the model made of a text, token by token."""

    rows: NDArray[np.float32]
    """The log-probabilities of what comes at each token and behind the last, shape (tokens + 1, vocabulary)."""
    looked: NDArray[np.float32]
    """Where it looked meanwhile, shape (tokens + 1, frames)."""
    state: State
    """The state after all of them."""

    def read(self, tokens: Sequence[int]) -> Read:
        """Return of the text's last tokens what `Decoder.read` does."""
        first = len(self.rows) - 1 - len(tokens)
        told = np.exp(self.rows[np.arange(first, len(self.rows) - 1), list(tokens)])
        return Read(told, self.looked[first:-1], self.rows[-2])


class Decoder:
    """The loaded graphs. States are never changed in place, so that one can be decoded more than once."""

    def __init__(self, folder: Path, *, threads: int) -> None:
        """Load the graphs from `folder`; raises onnxruntime's NoSuchFile where it holds none."""
        options = ort.SessionOptions()
        options.intra_op_num_threads = threads
        options.inter_op_num_threads = 1
        # Both keep buffers for every length of audio ever seen: resident memory would grow for hours.
        options.enable_cpu_mem_arena = False
        options.enable_mem_pattern = False
        # No busy waiting: the cores are shared with the tracks.
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        options.log_severity_level = 3
        self._encoder, self._cross, self._step = (
            ort.InferenceSession(str(folder / graph), options, providers=["CPUExecutionProvider"])
            for graph in (ENCODER, CROSS, STEP)
        )
        self._encoder_inputs = [value.name for value in self._encoder.get_inputs()]
        self._step_inputs = {value.name: value.shape for value in self._step.get_inputs()}
        self._step_outputs = [value.name for value in self._step.get_outputs()]
        self._audio_keys = [_past(value.name) for value in self._cross.get_outputs()]

    def encode(self, samples: NDArray[np.float32]) -> State:
        """Return the state before the first token for audio of shape (n,), 16 kHz, -1..1."""
        audio = samples[np.newaxis]
        mask = np.ones(audio.shape, np.int64)
        offered = {"input_values": audio, "attention_mask": mask}
        (hidden,) = self._encoder.run(None, {name: offered[name] for name in self._encoder_inputs})
        state = dict(zip(self._audio_keys, self._cross.run(None, {"encoder_hidden_states": hidden}), strict=True))
        for name, shape in self._step_inputs.items():
            if ".decoder." in name:
                state[name] = np.zeros((1, shape[1], 0, shape[3]), np.float32)
        # The tiny model's graph asks for these two as well.
        if "encoder_hidden_states" in self._step_inputs:
            state["encoder_hidden_states"] = hidden
        if "encoder_attention_mask" in self._step_inputs:
            state["encoder_attention_mask"] = mask
        return state

    def greedy(self, state: State, *, limit: int, draft: Sequence[int] = (), after: Sequence[int] = ()) -> Hypothesis:
        """Take the most probable token each time, `limit` tokens at most.

        `draft` is a guess at the first tokens: one run of the graph checks them all, and those up to the first
        wrong one are kept. The result is the same without it. `after` is what the audio begins with: it is taken
        as said, and is no part of the result.
        """
        tokens: list[int] = []
        score = 0.0
        given = [START, *after]
        guesses = list(draft[: limit - 1])
        fed = given + guesses
        while len(tokens) < limit:
            rows, state = self._run(state, np.array([fed]))
            news = rows[0, len(fed) - len(guesses) - 1 :]
            best = news.argmax(axis=-1)
            right = next((at for at, guess in enumerate(guesses) if best[at] != guess), len(guesses))
            for row in range(right + 1):
                score += float(news[row, best[row]])
                if best[row] == END:
                    return _ended(tokens, score)
                tokens.append(int(best[row]))
            if loop_length(tokens):
                break
            state = _shorten(state, len(after) + len(tokens))
            fed, guesses = tokens[-1:], []
        return _unended(tokens, score)

    def beam(self, state: State, *, limit: int, width: int, after: Sequence[int] = ()) -> Hypothesis:
        """Keep the `width` best beginnings at each step; return the best whole one by its mean log-probability.

        The weights and the audio's keys and values are read once a step for all of them, which is most of the cost.
        Silence is not among the answers: over a telephone the model at times sees no words where a whole sentence is
        spoken, and is sure of it.
        """
        alive: list[tuple[tuple[int, ...], float]] = [((), 0.0)]
        ended: list[Hypothesis] = []
        fed = np.array([[START, *after]])
        for _ in range(limit):
            rows, state = self._run(state, fed)
            last = rows[:, -1]
            if not alive[0][0]:
                last[:, END] = -np.inf
            likely = [_most_likely(row, width + 1) for row in last]
            grown = nlargest(
                2 * width,
                (
                    (score + float(last[parent, token]), parent, int(token))
                    for parent, (_, score) in enumerate(alive)
                    for token in likely[parent]
                ),
            )
            ended += [_ended(alive[parent][0], score) for score, parent, token in grown[:width] if token == END]
            kept = [candidate for candidate in grown if candidate[2] != END][:width]
            alive = [((*alive[parent][0], token), score) for score, parent, token in kept]
            if len(ended) >= width:
                break
            state = _branch(state, [parent for _, parent, _ in kept])
            fed = np.array([[token] for _, _, token in kept])
        return max(ended, key=lambda hypothesis: hypothesis.score, default=_unended(*alive[0]))

    def read(self, state: State, tokens: Sequence[int], *, after: Sequence[int] = ()) -> Read:
        """Return what the model made of the tokens of a text, one at least."""
        fed = np.array([[START, *after, *tokens[:-1]]])
        logits, attention = self._step.run(["logits", ALIGNMENT], {**state, "input_ids": fed})
        rows = _log_softmax(logits[0, len(after) :])
        return Read(np.exp(rows[np.arange(len(tokens)), list(tokens)]), attention[0, len(after) :], rows[-1])

    def follow(self, state: State, tokens: Sequence[int]) -> Followed:
        """Run over a whole text; `state` is the one before its first token."""
        names = [*self._step_outputs]
        found = dict(
            zip(names, self._step.run(names, {**state, "input_ids": np.array([[START, *tokens]])}), strict=True)
        )
        rows, looked = _log_softmax(found.pop("logits")[0]), found.pop(ALIGNMENT)[0]
        return Followed(rows, looked, state | {_past(name): cache for name, cache in found.items()})

    def weigh(self, state: State, tokens: Sequence[int], ways: Sequence[Sequence[int]]) -> list[list[float]]:
        """Return the log-probability of each token of several ways to go on behind `tokens`, each by itself.

        `state` is the one after `tokens`, or after more that begin with them.
        """
        fed = np.full((len(ways), max(map(len, ways))), END)
        for row, way in enumerate(ways):
            fed[row, : len(way)] = [tokens[-1] if tokens else START, *way[:-1]]
        rows, _ = self._run(_branch(_shorten(state, len(tokens)), [0] * len(ways)), fed)
        return [told(rows[row], way) for row, way in enumerate(ways)]

    def _run(self, state: State, fed: NDArray[np.int64]) -> tuple[NDArray[np.float32], State]:
        """Feed tokens of shape (batch, n); return log-probabilities (batch, n, vocabulary) and the state after."""
        wanted = [name for name in self._step_outputs if name != ALIGNMENT]
        logits, *caches = self._step.run(wanted, {**state, "input_ids": fed})
        assert wanted[0] == "logits"
        return _log_softmax(logits), state | dict(zip(map(_past, wanted[1:]), caches, strict=True))


def _branch(state: State, parents: list[int]) -> State:
    """Return the state whose rows go on from those of `parents`.

    All of them hear the same audio: its keys and values stay one row, which the graph lays beside each. As a row of
    their own they are most of what a step reads: copied, a beam over 12 s takes 390 ms instead of 220.
    """
    return {name: value[parents] if ".decoder." in name else value for name, value in state.items()}


def _most_likely(row: NDArray[np.float32], count: int) -> NDArray[np.intp]:
    """Return the places of the `count` largest values; a sorting of all would cost a tenth of a step."""
    near = np.flatnonzero(row > row.max() - NEAR)
    if near.size < count:
        near = np.arange(row.size)
    return near[np.argpartition(row[near], -count)[-count:]]


def _past(output: str) -> str:
    return output.replace("present", "past_key_values")


def _shorten(state: State, length: int) -> State:
    """Return the state without what was cached after the first `length` tokens."""
    return {name: value[:, :, :length] if ".decoder." in name else value for name, value in state.items()}


def _log_softmax(logits: NDArray[np.float32]) -> NDArray[np.float32]:
    shifted = logits - logits.max(axis=-1, keepdims=True)
    result: NDArray[np.float32] = shifted - np.log(np.exp(shifted).sum(axis=-1, keepdims=True))
    return result


def told(rows: NDArray[np.float32], tokens: Sequence[int]) -> list[float]:
    """Return the log-probability of each token, the first in the first row and so on."""
    return [float(value) for value in rows[np.arange(len(tokens)), list(tokens)]]


def _ended(tokens: Sequence[int], score: float) -> Hypothesis:
    return Hypothesis(tuple(tokens), score / (len(tokens) + 1))


def _unended(tokens: Sequence[int], score: float) -> Hypothesis:
    """The decoder would have gone on: of a repetition keep one round, and rank the rest below any whole text."""
    cycle = loop_length(tokens)
    keep = len(tokens)
    while cycle and keep > cycle and tokens[keep - 1] == tokens[keep - 1 - cycle]:
        keep -= 1
    return Hypothesis(tuple(tokens[:keep]), score / max(len(tokens), 1))
