#!/bin/sh
# FSDD with each speaker held out in turn, as ten words; the six test sets are then scored together.
# Usage: sh recipes/fsdd/held-out.sh FSDD_FOLDER [RUNS]      (default: runs/fsdd-held-out)
set -eu
runs=${2:-runs/fsdd-held-out}
mkdir -p "$runs"
printf '%s\n' zero one two three four five six seven eight nine > "$runs/words.txt"
for speaker in george jackson lucas nicolas theo yweweler; do
    data=data/fsdd-$speaker
    speechgru prepare fsdd --source "$1" --holdout $speaker --out $data
    speechgru train recipes/fsdd/unseen-speakers.yaml data.train=$data/train.jsonl \
        data.dev=$data/dev.jsonl --out "$runs/$speaker"
    speechgru evaluate $data/test.jsonl --model "$runs/$speaker" \
        --vocabulary "$runs/words.txt" --worst 0 --out "$runs/results/$speaker"
done
for hyp in hyp hyp-greedy; do
    cat "$runs"/results/*/ref.trn > "$runs/ref.trn"
    cat "$runs"/results/*/$hyp.trn > "$runs/$hyp.trn"
    speechgru score "$runs/ref.trn" "$runs/$hyp.trn" --worst 0 --json "$runs/$hyp.json"
done
