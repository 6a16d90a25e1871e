"""`ponas demo`: a whole network of processes on this machine, watched from outside.

`layout` says who takes part, `processes` starts and ends them, `watch` asks them what they know,
`view` draws it, `report` judges it, and `run` ties these together. The demo sees its nodes only
through their command line, files and query service, as any operator does; it imports the shell
and the chain parameters of `node`, never `node.app`, `pool` or `nas`.
"""
