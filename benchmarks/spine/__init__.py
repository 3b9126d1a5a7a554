"""The promises of the deciding half, measured on real processes: speed, durability, caps, propensities.

Run one with ``python -m benchmarks.spine decision|kills|race|truth``; each prints what it found and exits with 1
when a promise was broken.
"""
