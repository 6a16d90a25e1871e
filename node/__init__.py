"""The PoNAS node: chain rules and everything around them.

What is where: `chain` holds the pure rules, `net` the transports and the peer protocol, `store`
what survives a restart, `cli` the command lines; `identity`, `config`, `log`, `clock`, `tasks` and
`errors` are the shell they share, and `app` alone knows every part.

Who may import whom: `node.chain` imports the standard library and PyNaCl only. The shell imports
`node.chain`; `node.app` may import everything, and only `node.cli` imports `node.app`.
No module here imports torch: training and evaluation run in worker processes of `nas`.
"""
