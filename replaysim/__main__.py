"""``python -m replaysim`` is the console script."""

from .cli import main

main()
