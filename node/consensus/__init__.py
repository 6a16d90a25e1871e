"""The node's part in the round: what it hears, holds, counts, signs and proposes.

    book      what was heard for one round
    ledger    the block tree with its votes, kept in the store
    mempool   transactions that wait for a block
    submissions  those of this node's users, kept on disk
    designs   the chain's questions about a design, answered by the NAS engine
    verifier  a claim fetched, checked and counted
    gossip    the peer network's door: admission of every message, sync, blobs
    attester  lists, the walk over the claims, votes
    producer  the pool's best model committed and claimed
    clockwork who does what at which deadline

Rules live in `node.chain`; this folder feeds them. It may import `node.chain`, `node.net`,
`node.store`, `node.clock`, `node.tasks`, `pool`, `nas` (without torch) and `fpga_model`.
"""
