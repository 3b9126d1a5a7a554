"""A simulated site with known truth: visitors with hidden traits who answer any decider as real ones would.

- ``world``: what a simulated site is made of, as plain data; ``worlds/`` holds the worlds there are;
- ``drive``: plays visitors against a site in time order, through the two calls of the HTTP interface;
- ``truth``: the exact value of policies in a world, and the simulated value of any decider;
- ``search``: the best fixed list of asks;
- ``sites``: small deciders for trying things out.

Underneath: ``tables`` (a world's probabilities), ``behavior`` and ``visitors`` (sampling from them), ``rules``,
``choices``, ``graph`` and ``board`` (computing with them).
"""
