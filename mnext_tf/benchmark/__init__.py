"""Time TFLite files side by side on this host, read what a phone's benchmark tool printed, and report on it all.

`suite.run_benchmark` exports and times networks, `results.read_results` reads what it wrote, `parse_log` reads one
run of TFLite's or LiteRT's `benchmark_model`, `device.read_device` a folder that benchmarks/run_adb.sh wrote,
`report.write_report` turns runs and benchmarks into a page with pictures.
"""

from mnext_tf.device.log import Log, parse_log

__all__ = ["Log", "parse_log"]
