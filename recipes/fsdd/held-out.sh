#!/bin/sh
# FSDD with each speaker held out in turn, as ten words; the six test sets are then scored together.
# Usage: [OTHER=MANIFEST] sh recipes/fsdd/held-out.sh FSDD_FOLDER [RUNS [SECTION.KEY=VALUE …]]
# OTHER: other speech for training, beside the five speakers. Default of RUNS: runs/fsdd-held-out.
set -eu
fsdd=$1
runs=${2:-runs/fsdd-held-out}
shift $(($# > 1 ? 2 : 1))
mkdir -p "$runs"
printf '%s\n' zero one two three four five six seven eight nine > "$runs/words.txt"
for speaker in george jackson lucas nicolas theo yweweler; do
    data=data/fsdd-$speaker
    speechgru prepare fsdd --source "$fsdd" --holdout $speaker --out $data
    speechgru train recipes/fsdd/unseen-speakers.yaml "$@" data.dev=$data/dev.jsonl \
        "data.train=[$data/train.jsonl${OTHER:+,$OTHER}]" --out "$runs/$speaker"
    speechgru evaluate $data/test.jsonl --model "$runs/$speaker" \
        --vocabulary "$runs/words.txt" --worst 0 --out "$runs/results/$speaker"
done
for hyp in hyp hyp-greedy; do
    cat "$runs"/results/*/ref.trn > "$runs/ref.trn"
    cat "$runs"/results/*/$hyp.trn > "$runs/$hyp.trn"
    speechgru score "$runs/ref.trn" "$runs/$hyp.trn" --worst 0 --json "$runs/$hyp.json"
done
