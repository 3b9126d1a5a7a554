"""``python -m training.cli``: the ``smallyes`` command without its script."""

from training.cli.app import main

main()
