"""Time TFLite files side by side on this host, and report on runs and timings.

`suite.run_benchmark` exports and times networks, `results.read_results` reads what it wrote,
`report.write_report` turns runs and benchmarks into a page with pictures.
"""
