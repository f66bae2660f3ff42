#!/bin/sh
# RNN, GRU and LSTM on AN4: greedy, then each with the corpus's dictionary and a word 3-gram.
# Usage: sh recipes/an4/cells.sh AN4_FOLDER [OUT]      (default: runs/an4-tuned)
set -eu
out=${2:-runs/an4-tuned} lm=${2:-runs/an4-tuned}/lm
speechgru prepare an4 --source "$1"
speechgru compare recipes/an4 training.epochs=24 training.precision=bfloat16 \
    --cells rnn,gru,lstm --seeds 3 --match params --tune lr=0.001,0.0025 \
    --test data/an4/test.jsonl --threads 1 --jobs 2 --no-cost --out "$out"
mkdir -p "$lm"
sed 's/[( ].*//' "$1/etc/an4.dic" | sort -u > "$lm/words.txt"
speechgru lm train data/an4/train.jsonl --out "$lm/3gram.arpa.gz"
for run in rnn-seed1 rnn-seed2 rnn-seed3 gru-seed1 gru-seed2 gru-seed3 lstm-seed1 lstm-seed2 lstm-seed3
do
    speechgru tune data/an4/dev.jsonl --model "$out/runs/$run" --lm "$lm/3gram.arpa.gz" \
        --vocabulary "$lm/words.txt"
    speechgru evaluate data/an4/test.jsonl --model "$out/runs/$run" --out "$lm/$run"
done
hyps() { echo "$lm/$1-seed1/hyp.trn,$lm/$1-seed2/hyp.trn,$lm/$1-seed3/hyp.trn"; }
differ() {
    speechgru significance "$lm/$1-seed1/ref.trn" "$(hyps "$1")" "$(hyps "$2")" --json "$lm/$1-$2.json"
}
differ rnn gru
differ rnn lstm
differ gru lstm
