#!/bin/sh
# Every figure in this folder, with one thread; a killed run goes on where it was. Half an hour.
set -e
cd "$(dirname "$0")"
speechgru probe gradient-reach --cells rnn,rnn_relu,gru,lstm,cifg,gru_ln,lstm_ln,ligru,mingru,minlstm,indrnn \
    --seeds 5 --gains 1,3 --steps 500 --out gradient-reach
speechgru probe memory --tasks adding --lengths 100 --rates 0.01,0.003 --seeds 5 --updates 2500 --out adding-100
speechgru probe memory --tasks adding --lengths 200 --rates 0.01 --seeds 5 --updates 2500 --out adding-200
speechgru probe memory --tasks copy --lengths 30 --rates 0.01 --seeds 5 --updates 1500 --out copy-30
# Of trained models: the runs of fsdd-speakers (../README.md), where they are.
runs=../../../runs/fsdd-speakers/runs
if [ -d "$runs" ]; then
    speechgru probe gates "$runs"/gru-* "$runs"/lstm-* "$runs"/cifg-* "$runs"/ligru-* "$runs"/mingru-* \
        --manifest ../../../data/fsdd/test.jsonl --utterances 20 --out gates-fsdd
fi
# The one-way models of fsdd-one-way: how far do gradients reach after training?
runs=../../../runs/fsdd-one-way/runs
if [ -d "$runs" ]; then
    speechgru probe gradient-reach "$runs"/rnn-* "$runs"/gru-* "$runs"/lstm-* --utterances 40 \
        --manifest ../../../data/fsdd/test.jsonl --out gradient-reach-fsdd
fi
# And those of an4-cells: what does context give?
runs=../../../runs/an4-cells/runs
if [ -d "$runs" ]; then
    speechgru probe length "$runs"/rnn-* "$runs"/gru-* "$runs"/lstm-* --utterances 60 \
        --contexts 0,5,10,20,50 --manifest ../../../data/an4/dev.jsonl --out length-an4
fi
