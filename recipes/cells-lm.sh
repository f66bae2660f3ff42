#!/bin/sh
# After a comparison of cells, three seeds: each model with a language model, whose weights DEV
# chooses, scored once on TEST, and the differences between cells.
# Usage: sh recipes/cells-lm.sh OUT DEV TEST --lm FILE [--vocabulary FILE]   (OUT: of the comparison)
set -eu
out=$1 dev=$2 test=$3
shift 3
lm=$out/lm
mkdir -p "$lm"
for run in "$out"/runs/*-seed[123]
do
    speechgru tune "$dev" --model "$run" "$@"
    speechgru evaluate "$test" --model "$run" --out "$lm/${run##*/}"
done
hyps() { echo "$lm/$1-seed1/hyp.trn,$lm/$1-seed2/hyp.trn,$lm/$1-seed3/hyp.trn"; }
for pair in rnn-gru rnn-lstm gru-lstm
do
    a=${pair%-*} b=${pair#*-}
    [ -e "$lm/$a-seed1" ] && [ -e "$lm/$b-seed1" ] || continue
    speechgru significance "$lm/$b-seed1/ref.trn" "$(hyps "$a")" "$(hyps "$b")" \
        --json "$lm/$pair.json"
done
