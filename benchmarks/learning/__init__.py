"""How good learned policies are, in worlds whose truth is known."""
