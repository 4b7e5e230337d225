"""What docs/benchmarks.md reports: `make bench`, or `make bench QUICK=1` for two minutes."""
