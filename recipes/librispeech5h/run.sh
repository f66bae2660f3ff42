#!/bin/sh
# LibriSpeech train-clean-5, one seed: train on 21 readers, score 4 others once.
# Usage: sh recipes/librispeech5h/run.sh TRAIN_CLEAN_5_FOLDER [RUNS]   (default: runs/librispeech5h)
set -eu
runs=${2:-runs/librispeech5h}
speechgru prepare librispeech --source "$1"
speechgru train recipes/librispeech5h --out "$runs/lstm-1"
speechgru evaluate data/librispeech/test.jsonl --model "$runs/lstm-1"
