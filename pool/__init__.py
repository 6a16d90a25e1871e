"""The mining pool: who searches where, what a result is worth, and how the reward is split.

The decisions are pure functions of their arguments (partition, strategy, reports, shares, payout,
and the records of `state`); `manager` and `miner` are the two shells that feed them from a link, a
clock and an executor. May import `nas` (not its PyTorch modules), `node.chain`, the seams of the
node (`node.clock`, `node.net.link`, `node.wire`) and the generated `ponas.v1`; never `node.app`,
gRPC or PyTorch. `docs/pool.md` tells the whole story.
"""
