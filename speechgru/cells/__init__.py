"""Recurrent cells: a cell is its equations. A new one is a class and a line in this table."""

from speechgru.cells.base import Cell, State
from speechgru.cells.gru import GRU
from speechgru.cells.layer import RecurrentLayer
from speechgru.cells.lstm import LSTM
from speechgru.cells.rnn import RNN, ReLURNN

CELLS: dict[str, type[Cell]] = {
    "rnn": RNN,
    "rnn_relu": ReLURNN,
    "gru": GRU,
    "lstm": LSTM,
}

__all__ = ["CELLS", "Cell", "RecurrentLayer", "State"]
