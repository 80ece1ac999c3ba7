"""A page with tables and plots of runs, benchmarks and phone sessions."""
