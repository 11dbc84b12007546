"""``python -m speedo_trio`` is the command ``trio-speedo``."""

from speedo_trio.cli.app import main

if __name__ == "__main__":
    main()
