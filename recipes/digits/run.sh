#!/bin/sh
# Connected digits: train, score on the test voices, transcribe three of their files, and one
# with pauses and noise (data/digits/pauses.opus).
# Usage, from the repository: sh recipes/digits/run.sh [RUN]      (default: runs/digits)
set -eu
run=${1:-runs/digits}
speechgru train recipes/digits --out "$run"
speechgru evaluate data/digits/test.jsonl --model "$run" --worst 2
three=$(sed -n 's|.*"audio_filepath": "\([^"]*\)".*|data/digits/\1|p' data/digits/test.jsonl |
    awk 'NR % 70 == 1' | head -3)
speechgru transcribe $three data/digits/pauses.opus --model "$run"
