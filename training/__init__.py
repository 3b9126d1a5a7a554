"""Jobs over logs: the command line, funnels, learning, judging."""
