"""Recurrent cells: a cell is its equations. A new one is one class and one line in this table."""

from speechgru.cells.base import Cell, State
from speechgru.cells.cifg import CIFG
from speechgru.cells.gru import GRU
from speechgru.cells.indrnn import IndRNN
from speechgru.cells.layer import RecurrentLayer
from speechgru.cells.layer_norm import LayerNormGRU, LayerNormLSTM
from speechgru.cells.ligru import LiGRU
from speechgru.cells.lstm import LSTM
from speechgru.cells.minimal import MinGRU, MinLSTM
from speechgru.cells.rnn import RNN, ReLURNN

CELLS: dict[str, type[Cell]] = {
    "rnn": RNN,
    "rnn_relu": ReLURNN,
    "gru": GRU,
    "lstm": LSTM,
    "cifg": CIFG,
    "gru_ln": LayerNormGRU,
    "lstm_ln": LayerNormLSTM,
    "ligru": LiGRU,
    "mingru": MinGRU,
    "minlstm": MinLSTM,
    "indrnn": IndRNN,
}

__all__ = ["CELLS", "Cell", "RecurrentLayer", "State"]
