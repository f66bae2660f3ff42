"""`python -m benchmarks.layers`: recurrent layers timed against other libraries and this machine.

machine     the processor and its tier
streaming   how fast weights of a size can be read
case        a workload, and how much arithmetic it is
roofline    rates measured here, and the least time that they allow for a case
graph       a torch.nn layer as an ONNX model
contenders  ours, torch.nn and onnxruntime behind one interface
grid        the cases
rounds      timing in alternating rounds
bench       the measurement and its report
view        the printed table
"""
