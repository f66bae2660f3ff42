#!/bin/sh
# AN4, two seeds. Choices were made on dev; test is scored once a seed.
# Usage: sh recipes/an4/run.sh AN4_FOLDER [RUNS]      (default: runs/an4)
set -eu
runs=${2:-runs/an4}
speechgru prepare an4 --source "$1"
for seed in 1 2; do
    speechgru train recipes/an4 training.seed=$seed --out "$runs/gru-$seed"
    speechgru evaluate data/an4/test.jsonl --model "$runs/gru-$seed"
done
