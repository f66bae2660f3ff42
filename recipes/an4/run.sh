#!/bin/sh
# AN4, three seeds: once with the dev speakers held out, once retrained on train and dev.
# Usage: sh recipes/an4/run.sh AN4_FOLDER [RUNS [SECTION.KEY=VALUE …]]      (default: runs/an4)
set -eu
speechgru prepare an4 --source "$1"
runs=${2:-runs/an4}
shift $(($# > 1 ? 2 : 1))
for seed in 1 2 3; do
    speechgru train recipes/an4 training.seed=$seed "$@" --out "$runs/gru-$seed"
    speechgru evaluate data/an4/test.jsonl --model "$runs/gru-$seed"
    # All settings are fixed by now: dev only selects epochs, and its WER is that of training data.
    speechgru train recipes/an4 data.train=data/an4/train+dev.jsonl training.seed=$seed "$@" \
        --out "$runs/gru-all-$seed"
    speechgru evaluate data/an4/test.jsonl --model "$runs/gru-all-$seed"
done
