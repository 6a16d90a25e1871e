"""The engine on a GPU: `checks` that it computes right, `throughput` of many trainings.

Runs where there is nothing but PyTorch, NumPy and scikit-learn; `tools/bench_gpu.py` starts it.
"""
