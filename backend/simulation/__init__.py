"""What a KV cache of given tiers would have served of recorded traffic, under one replacement policy or another.

`trace.py` reads what came, `policy.py` is the contract of what a tier keeps, `tiers.py` puts tiers together and
`simulate.py` replays.
"""
