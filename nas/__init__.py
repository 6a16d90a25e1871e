"""The neural architecture search that mining consists of.

Search space and genotypes, what a genotype costs and whether it can be built, the canonical bytes
of a model, the data, the controller that proposes designs, their training, and exact evaluation.
There is no network and no chain here: `nas` imports `fpga_model`, NumPy and the standard library,
never `node`, `pool` or gRPC. PyTorch and safetensors are imported only by the modules that worker
processes load (controller, search, quantise, network, train, evaluate, worker), so that a node
process stays small.
"""
