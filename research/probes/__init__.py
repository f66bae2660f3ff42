"""Experiments on what a recurrent cell can remember, each bearing on a claim of the article
"Difference between RNN, LSTM and GRU".

gradient_reach  how far back a label's gradient reaches
memory          the adding and copy problems
gates           how long the gates of a trained model keep what they hold
length          errors against utterance length and against how much context is heard

Each measures one model (or trains one seed) at a time, keeps the row (`finding.py`), and sums the
rows up as a `Finding`: numbers, figures, words and the claim.
"""
