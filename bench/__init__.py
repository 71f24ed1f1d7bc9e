"""What chatd can carry, measured beside bare Autobahn on the same machine in the same run: ``python -m bench``."""
