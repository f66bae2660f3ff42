"""What a beam search looks things up in, and what it remembers, as flat arrays."""

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from speechgru.decoding.trie import Records
from speechgru.lm.ngram import Ints, Tables

Flags = npt.NDArray[np.bool_]

FREE, CLOSED, OPEN = 0, 1, 2  # no lexicon; its words only; other words are spelled, at a cost
NO_MODEL, WORDS, CHARACTERS = 0, 1, 2  # what the language model predicts
SPELLED = -2  # state of the lexicon within an unknown word
NO_WORD, UNKNOWN_WORD = -1, -2  # in `word` of a hypothesis


class Weights(NamedTuple):
    """The settings of a search, in natural log units."""

    lm: float  # factor of the language model's scores
    word: float  # added per word (without a lexicon: per token)
    unknown: float  # subtracted per unknown word
    token: float  # tokens less probable than this are not tried
    beam: float  # hypotheses this much worse than the best are dropped

    def unpruned(self) -> "Weights":
        return self._replace(token=-np.inf, beam=np.inf)


class Graph(NamedTuple):
    """What a search looks things up in. Parts that are not used are empty."""

    weights: Weights
    lexicon: int  # FREE, CLOSED or OPEN
    tree: Records  # (nodes + 1,) of lexicon.NODE
    numbers: Ints  # (words,) in the language model
    model: int  # NO_MODEL, WORDS or CHARACTERS
    tables: Tables
    token_numbers: Ints  # (tokens,) in a character model
    start: int  # the language model's state at the start of a sentence
    end: int  # its word for the end of a sentence, or -1
    unknown: float  # unigram log probability of an unknown word
    hot: Records  # (states + 1,) of hotwords.STATE
    start_hot: int  # its state at the start
    space: int  # the token between words, or -1 where words begin with other tokens
    starts: Flags  # (tokens,) whether a token begins with a space
    boundary: int  # what the automaton of hot words has at the edges of words, or -1: the space, or
    # where there is none, one more than the tokens

    @property
    def homophones(self) -> int:
        """The largest number of words with one spelling."""
        return int(np.diff(self.tree["word"]).max(initial=0))


# A hypothesis. Scores are natural logarithms.
HYPOTHESIS = np.dtype(
    [
        ("prefix", np.int32),  # node in the tree of prefixes
        ("token", np.int32),  # its last token, -1 at the start
        ("word", np.int32),  # the word that this token ended, NO_WORD or UNKNOWN_WORD
        ("spelling", np.int32),  # state of the lexicon: a node of its tree, or SPELLED
        ("lm", np.int32),  # state of the language model
        ("hot", np.int32),  # state of the hot words
        ("longer", np.int32),  # place of the first hypothesis with one token more, or -1
        ("next", np.int32),  # place of the next one that is longer than the same hypothesis, or -1
        ("blank", np.float64),  # probability of the paths that end in a blank
        ("label", np.float64),  # and of those that end in the last token
        ("both", np.float64),  # the sum of the two, set when a frame begins
        ("extra", np.float64),  # weighted scores of all but the acoustic model
        ("lm_score", np.float64),  # unweighted score of the language model
        ("pending", np.float64),  # what to expect of the unfinished word and hot phrase
        ("total", np.float64),  # the sum by which hypotheses are ranked
    ],
    align=True,
)

# A prefix: the tokens so far and, with a lexicon, the words they were read as.
PREFIX = np.dtype(
    [
        ("parent", np.int32),  # the prefix without its last token; -1 for the empty one
        ("token", np.int32),
        ("word", np.int32),
        ("place", np.int32),  # in the beam, or -1
    ]
)

# A hypothesis at the end of an utterance, its last word complete.
ENDING = np.dtype(
    [
        ("prefix", np.int32),
        ("word", np.int32),
        ("total", np.float64),
        ("acoustic", np.float64),
        ("lm", np.float64),
    ],
    align=True,
)
