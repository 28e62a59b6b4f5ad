"""What serves the machine and the maintainers: doctor, launcher, benchmarks."""
