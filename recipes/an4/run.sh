#!/bin/sh
# AN4, three seeds: with the dev speakers held out, to choose the decoder's weights, then retrained on
# train and dev. Test is scored greedily, and with the corpus's dictionary and a word 3-gram.
# Usage: sh recipes/an4/run.sh AN4_FOLDER [RUNS]      (default: runs/an4)
set -eu
runs=${2:-runs/an4}
mkdir -p "$runs"
speechgru prepare an4 --source "$1"
sed 's/[( ].*//' "$1/etc/an4.dic" | sort -u > "$runs/words.txt"
speechgru lm train data/an4/train.jsonl --out "$runs/train.arpa.gz"
speechgru lm train data/an4/train+dev.jsonl --out "$runs/train+dev.arpa.gz"
for seed in 1 2 3; do
    held=$runs/gru-$seed all=$runs/gru-all-$seed
    speechgru train recipes/an4 training.seed=$seed --out "$held"
    speechgru evaluate data/an4/test.jsonl --model "$held"
    speechgru tune data/an4/dev.jsonl --model "$held" --lm "$runs/train.arpa.gz" \
        --vocabulary "$runs/words.txt"
    # All settings are fixed by now: dev only selects epochs, and its WER is that of training data.
    speechgru train recipes/an4 data.train=data/an4/train+dev.jsonl training.seed=$seed --out "$all"
    speechgru evaluate data/an4/test.jsonl --model "$all"
    speechgru evaluate data/an4/test.jsonl --model "$all" --decoding "$held/decoding.yaml" \
        --lm "$runs/train+dev.arpa.gz"
done
