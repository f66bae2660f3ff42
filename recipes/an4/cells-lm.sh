#!/bin/sh
# After a comparison of cells on AN4, three seeds: each model with the corpus's dictionary and a
# word 3-gram, whose weights dev chooses, and the differences between cells.
# Usage: sh recipes/an4/cells-lm.sh AN4_FOLDER OUT      (OUT: of the comparison)
set -eu
out=$2 lm=$2/lm
mkdir -p "$lm"
sed 's/[( ].*//' "$1/etc/an4.dic" | sort -u > "$lm/words.txt"
speechgru lm train data/an4/train.jsonl --out "$lm/3gram.arpa.gz"
for run in "$out"/runs/*-seed[123]
do
    speechgru tune data/an4/dev.jsonl --model "$run" --lm "$lm/3gram.arpa.gz" \
        --vocabulary "$lm/words.txt"
    speechgru evaluate data/an4/test.jsonl --model "$run" --out "$lm/${run##*/}"
done
hyps() { echo "$lm/$1-seed1/hyp.trn,$lm/$1-seed2/hyp.trn,$lm/$1-seed3/hyp.trn"; }
for pair in rnn-gru rnn-lstm gru-lstm
do
    a=${pair%-*} b=${pair#*-}
    [ -e "$lm/$a-seed1" ] && [ -e "$lm/$b-seed1" ] || continue
    speechgru significance "$lm/$b-seed1/ref.trn" "$(hyps "$a")" "$(hyps "$b")" \
        --json "$lm/$pair.json"
done
