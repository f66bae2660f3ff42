#!/bin/sh
# AN4 after run.sh: the retrained models with the corpus's dictionary and a word 3-gram, whose
# weights the models trained without dev choose.
# Usage: sh recipes/an4/dictionary.sh AN4_FOLDER [RUNS]      (default: runs/an4)
set -eu
runs=${2:-runs/an4}
sed 's/[( ].*//' "$1/etc/an4.dic" | sort -u > "$runs/words.txt"
speechgru lm train data/an4/train.jsonl --out "$runs/train.arpa.gz"
speechgru lm train data/an4/train+dev.jsonl --out "$runs/all.arpa.gz"
for seed in 1 2 3; do
    speechgru tune data/an4/dev.jsonl --model "$runs/gru-$seed" --lm "$runs/train.arpa.gz" \
        --vocabulary "$runs/words.txt"
    speechgru evaluate data/an4/test.jsonl --model "$runs/gru-all-$seed" \
        --decoding "$runs/gru-$seed/decoding.yaml" --lm "$runs/all.arpa.gz"
done
