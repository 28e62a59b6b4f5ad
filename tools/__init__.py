"""Tools for the machine and for maintainers: doctor, launcher, and the parts of benchmark.py."""
