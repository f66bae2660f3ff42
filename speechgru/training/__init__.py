"""Training, in reading order: data.py (which utterances, as which batches), step.py (one training
step), loop.py (all steps, epoch by epoch), selection.py (which weights are kept), state.py (what is
on disk). Start at `loop.train`; nothing is imported here, so that a step needs few modules."""
