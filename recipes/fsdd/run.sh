#!/bin/sh
# Free Spoken Digit Dataset, official split, three seeds, and a model for streaming.
# Usage: sh recipes/fsdd/run.sh FSDD_FOLDER [RUNS]      (default: runs/fsdd)
set -eu
runs=${2:-runs/fsdd}
speechgru prepare fsdd --source "$1"
for seed in 1 2 3; do
    speechgru train recipes/fsdd training.seed=$seed --out "$runs/gru-$seed"
    speechgru evaluate data/fsdd/test.jsonl --model "$runs/gru-$seed"
done
speechgru train recipes/fsdd model.bidirectional=false model.lookahead=15 \
    features.normalise=running augment.join_probability=0.3 training.epochs=20 \
    --out "$runs/stream"
speechgru evaluate data/fsdd/test.jsonl --model "$runs/stream"
