"""Mutated audio files: each is read or refused with an AudioError of one line, in bounded time and
memory.

    python tests/audio/mutations.py --count 10000
    python tests/audio/mutations.py --count 10000 --recognise

With --recognise, what is read passes through segmentation, an untrained model and a stream, and the
bytes of the file arrive from a pipe.

A process that crashes, takes more than LIMIT seconds of processor time or more than MAX_BYTES, or
has not answered after PATIENCE seconds, is reported with the number of the mutation, from which
`mutated` makes the same bytes again.
"""

import argparse
import functools
import io
import multiprocessing
import resource
import struct
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import soundfile
import torch
from recordings import RATE, encode, encode_tracks, tones

from speechgru.audio import audio_info, read_audio, resample
from speechgru.audio.pipe import read_raw_pipe, read_wav_pipe
from speechgru.audio.readers.ogg import page_checksum
from speechgru.checkpoint import ModelConfig, new_checkpoint
from speechgru.errors import AudioError
from speechgru.recipe import FeatureRecipe, ModelRecipe, TextRecipe
from speechgru.recognizer import Recognizer
from speechgru.text import Vocabulary

LIMIT = 10.0  # seconds of processor time per file
PATIENCE = 300.0  # seconds, on a machine that may be busy
MAX_BYTES = 1_000_000_000
SECONDS = 2


def originals(folder: Path) -> dict[str, bytes]:
    """Name → content of intact files in all kinds of containers."""
    samples, wide = tones(SECONDS), resample(tones(SECONDS), RATE, 48000)
    stereo = np.stack([samples, -samples], axis=1)
    by_libsndfile = {
        "a.wav": {},
        "stereo.wav": {"data": stereo},
        "float.wav": {"subtype": "FLOAT"},
        "gsm.wav": {"subtype": "GSM610"},
        "a.flac": {},
        "a.ogg": {},
        "a.opus": {"format": "OGG", "subtype": "OPUS"},
        "a.sph": {"format": "NIST"},
        "a.aiff": {},
        "a.rf64": {"format": "RF64"},
        "a.w64": {},
        "a.caf": {},
    }
    for name, options in by_libsndfile.items():
        data = options.pop("data", samples)
        soundfile.write(folder / name, data, RATE, **options)
    exact = {"fflags": "+bitexact"}  # no random serial numbers
    encode(folder / "a.mp3", samples, RATE, "libmp3lame")
    encode(folder / "mp3.wav", samples, RATE, "libmp3lame")
    encode(folder / "a.aac", samples, RATE, "aac", format="adts")
    encode(folder / "a.mp4", samples, RATE, "aac")
    encode(folder / "start.mp4", samples, RATE, "aac", movflags="faststart")
    encode(folder / "a.webm", wide, 48000, "libopus", **exact)
    encode(folder / "a.tta", samples, RATE, "tta")
    encode(folder / "a.wv", samples, RATE, "wavpack")
    encode(folder / "a.ts", samples, RATE, "aac", format="mpegts")
    encode(folder / "a.avi", samples, RATE, "pcm_s16le")
    encode_tracks(folder / "tracks.mkv", [0 * samples, samples], RATE, "aac", video=True, **exact)
    encode_tracks(folder / "tracks.mp4", [0 * samples, samples, stereo], RATE, "aac")
    files = {path.name: path.read_bytes() for path in sorted(folder.iterdir())}
    for name in ("a.ogg", "a.opus"):
        files[name] = with_serial(files[name], 1)
    time_stamp = files["float.wav"].index(b"PEAK") + 12
    files["float.wav"] = (
        files["float.wav"][:time_stamp] + bytes(4) + files["float.wav"][time_stamp + 4 :]
    )
    files["chained.ogg"] = files["a.ogg"] + files["a.opus"] + files["a.ogg"]
    files["joined.wav"] = files["a.wav"] + files["float.wav"]
    data = files["a.wav"][36:]
    files["chunks.wav"] = files["a.wav"] + data[:8000] + data[:4] + struct.pack("<I", 0) + data[8:]
    return files


def with_serial(content: bytes, serial: int) -> bytes:
    """An Ogg file with this serial number instead of a random one."""
    result, position = bytearray(content), 0
    while position < len(result):
        segments = result[position + 27 : position + 27 + result[position + 26]]
        end = position + 27 + len(segments) + sum(segments)
        result[position + 14 : position + 18] = serial.to_bytes(4, "little")
        result[position + 22 : position + 26] = bytes(4)
        checksum = page_checksum(bytes(result[position:end]))
        result[position + 22 : position + 26] = checksum.to_bytes(4, "little")
        position = end
    return bytes(result)


def mutated(content: bytes, other: bytes, seed: int) -> bytes:
    """One to four changes: bytes, a number, a range removed, repeated or from another file."""
    rng = np.random.default_rng(seed)
    result = bytearray(content)
    for _ in range(rng.integers(1, 5)):
        size = len(result)
        if size < 16:
            break
        head = rng.random() < 0.5  # headers decide the most
        at = int(rng.integers(min(size, 600) if head else size))
        length = int(rng.integers(1, 400 if head else max(2, size // 3)))
        match rng.integers(8):
            case 0:
                result[at] ^= 1 << int(rng.integers(8))
            case 1:
                result[at : at + 4] = rng.bytes(4)
            case 2:
                number = int(
                    rng.choice([0, 1, 0x7F, 0xFF, 0x7FFF, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFF])
                )
                result[at : at + 4] = number.to_bytes(4, str(rng.choice(["big", "little"])))
            case 3:
                del result[at : at + length]
            case 4:
                result[at:at] = result[at : at + length]
            case 5:
                result[at : at + length] = rng.bytes(length)
            case 6:
                del result[at:]
            case 7:
                start = int(rng.integers(max(1, len(other) - length)))
                result[at : at + length] = other[start : start + length]
    return bytes(result)


def mutations(folder: Path, numbers: range) -> Iterator[tuple[int, Path]]:
    """Writes each mutation to a file of its own name."""
    files = originals(folder)
    names = list(files)
    for number in numbers:
        name = names[number % len(names)]
        other = files[names[number * 7 % len(names)]]
        path = folder / name
        path.write_bytes(mutated(files[name], other, number))
        yield number, path


def outcome(path: Path) -> str:
    """ "read" or "refused"; anything else is an error in the readers, and raises."""
    results = []
    for function in (audio_info, lambda file: read_audio(file, RATE)):
        try:
            results.append(function(path))
        except AudioError as error:
            message = str(error)
            assert message.startswith(f"{path}: ")
            assert message.isprintable()
    if len(results) < 2:
        return "refused"
    assert len(results[1])
    assert np.isfinite(results[1]).all()
    return "read"


@functools.cache
def recognizer() -> Recognizer:
    """An untrained model for streams that outputs many tokens."""
    torch.set_num_threads(1)
    torch.manual_seed(1)
    config = ModelConfig(
        text=TextRecipe(),
        features=FeatureRecipe(sample_rate=RATE, mels=8, normalise="running"),
        model=ModelRecipe(bidirectional=False, lookahead=2, hidden_size=8, conv_channels=2),
    )
    made = new_checkpoint(config, Vocabulary.from_texts(["a b"]), {})
    made.extract.fit([tones(SECONDS)])
    with torch.no_grad():
        made.model.head.weight *= 10
    made.model.eval()
    return Recognizer(made)


def recognised(path: Path) -> str:
    """As `outcome`, of everything after the readers: a long recording, a stream, a pipe."""
    data = path.read_bytes()
    found = []
    for function in (_recognise_long, _stream_file, _stream_wav, _stream_samples):
        try:
            found.append(function(path, data))
        except AudioError:
            continue
    for words in found:
        times = [time for word in words for time in (word.start, word.end)]
        assert times == sorted(times)
    return (
        "read" if len(found) > 1 else "refused"
    )  # samples without a header are nearly always read


def _recognise_long(path: Path, data: bytes) -> list:
    samples = read_audio(path, RATE)
    repeated = np.resize(samples, 25 * RATE)  # long enough to be cut
    return list(recognizer().transcribe(repeated).words)


def _stream_file(path: Path, data: bytes) -> list:
    return _stream([read_audio(path, RATE)], RATE)


def _stream_wav(path: Path, data: bytes) -> list:
    rate, blocks = read_wav_pipe(io.BytesIO(data), "pipe")
    return _stream(blocks, rate)


def _stream_samples(path: Path, data: bytes) -> list:
    return _stream(read_raw_pipe(io.BytesIO(data), ("s16", "f32")[len(data) % 2], "pipe"), RATE)


def _stream(blocks: Iterable[np.ndarray], rate: int) -> list:
    stream = recognizer().stream(sample_rate=rate)
    finals = [final for block in blocks for final in stream.accept(block)] + stream.finish()
    return [word for final in finals for word in final.transcript.words]


def _work(
    numbers: range,
    connection: "multiprocessing.connection.Connection",
    check: Callable[[Path], str],
) -> None:
    """In a process of its own: reports the number of a mutation before and its outcome after it."""
    sys.stderr.flush()
    with TemporaryDirectory() as folder:
        for number, path in mutations(Path(folder), numbers):
            connection.send((number, path.name, None, 0.0))
            began = time.process_time()
            try:
                result = check(path)
            except Exception as error:
                result = f"{type(error).__name__}: {error}"
            peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
            used = time.process_time() - began
            if peak >= MAX_BYTES or used >= LIMIT:
                result = f"{peak:,} bytes, {used:.1f} s"
            connection.send((number, path.name, result, used))


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--count", type=int, default=10_000)
    parser.add_argument("--first", type=int, default=0)
    parser.add_argument("--recognise", action="store_true")
    options = parser.parse_args()
    check = recognised if options.recognise else outcome
    counts: Counter[str] = Counter()
    longest, number = 0.0, options.first
    end = options.first + options.count
    while number < end:
        ours, theirs = multiprocessing.Pipe(duplex=False)
        process = multiprocessing.Process(target=_work, args=(range(number, end), theirs, check))
        process.start()
        theirs.close()
        current, name, problem = number, "", "crash"
        try:
            while number < end:
                if not ours.poll(PATIENCE):
                    problem = f"no answer for {PATIENCE:g} s"
                    break
                current, name, result, used = ours.recv()
                if result is not None:
                    longest = max(longest, used)
                    counts[result if result in ("read", "refused") else "problem"] += 1
                    number = current + 1
                    if result not in ("read", "refused"):
                        print(f"{current} {name}: {result}", flush=True)
        except EOFError:
            pass
        if number < end:
            print(f"{current} {name}: {problem}", flush=True)
            counts["problem"] += 1
            number = current + 1
        process.kill()
        process.join()
    print(f"{options.count} files: {dict(counts)}; at most {longest:.2f} s per file")
    sys.exit(1 if counts["problem"] else 0)


if __name__ == "__main__":
    main()
