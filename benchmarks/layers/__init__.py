"""Timing on this machine, against others and against what its arithmetic allows.

machine     what the processor is, and its tier
streaming   how fast weights of a size can be read
case        what is run, and how much work that is
roofline    rates measured here, and the least time that they allow a case
graph       a torch.nn layer as an ONNX model
contenders  ours, torch.nn and onnxruntime behind one face
grid        which cases
rounds      timing by turns
cells       `speechgru bench cells` and its report
"""
