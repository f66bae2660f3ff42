"""Experiments on what a recurrent cell can remember. Run `python -m research.probes --help` from
the repository; `docs/article.md` discusses the results.

gradient_reach  how far back the gradient of a label reaches
memory          the adding and copy problems
gates           time constants of the gates, before and after training
length          error rate by utterance length and by the context a model can use

A probe measures one model at a time (or trains one seed), appends the result to a file of records
and summarises the records as a `Finding`: tables, numbers and figures (`finding.py`).
"""
