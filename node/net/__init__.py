"""How nodes, pools and miners talk: the link seam, its two transports, and the peer protocol.

`link` is the seam; `memory` and `grpc_transport` stand behind it; `peers` speaks the protocol of
peer_service.proto over any of them. May import `node.chain`, `node.clock`, `node.tasks`,
`node.wire`, `node.views`, gRPC and `ponas.v1`; neither `pool` nor `nas`.
"""
