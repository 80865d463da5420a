"""``python -m sidework``."""

from sidework.cli.main import main

main()
