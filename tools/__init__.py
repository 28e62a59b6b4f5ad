"""Serve the machine and the maintainers: doctor, launcher, and the parts of benchmark.py."""
