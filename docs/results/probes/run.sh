#!/bin/sh
# Every result in this folder, with one thread; an interrupted run continues. Half an hour.
# Without the runs, `python -m research.probes report docs/results/probes/*/*.jsonl` makes the
# tables (.json) and figures (.svg) from the kept records.
set -e
out=$(cd "$(dirname "$0")" && pwd)
cd "$out/../../.."  # the repository
export OMP_NUM_THREADS=1
python -m research.probes gradient-reach --cells rnn,rnn_relu,gru,lstm,cifg,gru_ln,lstm_ln,ligru,mingru,minlstm,indrnn \
    --seeds 5 --gains 1,3 --frames 500 --out "$out/gradient-reach"
python -m research.probes memory --problems adding --lengths 100 --learning-rates 0.01,0.003 --seeds 5 --steps 2500 --out "$out/adding-100"
python -m research.probes memory --problems adding --lengths 200 --learning-rates 0.01 --seeds 5 --steps 2500 --out "$out/adding-200"
python -m research.probes memory --problems copy --lengths 30 --learning-rates 0.01 --seeds 5 --steps 1500 --out "$out/copy-30"
# The LSTMs above were measured with a forget-gate bias of 0; here they have the present default, 1.
python -m research.probes gradient-reach --cells lstm --seeds 5 --gains 1,3 --frames 500 --out "$out/gradient-reach-forget-bias"
python -m research.probes memory --problems adding --lengths 100 --learning-rates 0.01,0.003 --cells lstm --seeds 5 --steps 2500 --out "$out/adding-100-forget-bias"
python -m research.probes memory --problems adding --lengths 200 --learning-rates 0.01 --cells lstm --seeds 5 --steps 2500 --out "$out/adding-200-forget-bias"
# Trained models: the runs of fsdd-speakers (../README.md), if present.
runs=runs/fsdd-speakers/runs
if [ -d "$runs" ]; then
    python -m research.probes gates "$runs"/gru-* "$runs"/lstm-* "$runs"/cifg-* "$runs"/ligru-* "$runs"/mingru-* \
        --manifest data/fsdd/test.jsonl --utterances 20 --out "$out/gates-fsdd"
fi
# The unidirectional models of fsdd-unidirectional: how far do gradients reach after training?
runs=runs/fsdd-unidirectional/runs
if [ -d "$runs" ]; then
    python -m research.probes gradient-reach "$runs"/rnn-* "$runs"/gru-* "$runs"/lstm-* --utterances 40 \
        --manifest data/fsdd/test.jsonl --out "$out/gradient-reach-fsdd"
fi
# The models of an4-cells: what does context contribute?
runs=runs/an4-cells/runs
if [ -d "$runs" ]; then
    python -m research.probes length "$runs"/rnn-* "$runs"/gru-* "$runs"/lstm-* --utterances 60 \
        --contexts 0,5,10,20,50 --manifest data/an4/dev.jsonl --out "$out/length-an4"
fi
