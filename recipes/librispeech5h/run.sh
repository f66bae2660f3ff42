#!/bin/sh
# LibriSpeech train-clean-5, one seed: once with the dev readers held out, then four more epochs with them.
# Usage: sh recipes/librispeech5h/run.sh TRAIN_CLEAN_5_FOLDER [RUNS [SECTION.KEY=VALUE …]]
set -eu
speechgru prepare librispeech --source "$1"
data=data/librispeech
runs=${2:-runs/librispeech5h}
shift $(($# > 1 ? 2 : 1))
speechgru train recipes/librispeech5h "$@" --out "$runs/lstm-1"
speechgru evaluate $data/test.jsonl --model "$runs/lstm-1"
# All settings are fixed by now: the dev WER is that of training data.
speechgru train recipes/librispeech5h "$@" "data.train=[$data/train.jsonl,$data/dev.jsonl]" \
    training.epochs=4 training.learning_rate=5e-4 training.evaluate_every=4 training.average=0 \
    --init "$runs/lstm-1" --out "$runs/lstm-all-1"
speechgru evaluate $data/test.jsonl --model "$runs/lstm-all-1"
