"""Phones: the sessions that benchmarks/run_adb.sh writes, and the logs of the benchmark tool."""

from mnext_tf.device.log import Log, parse_log

__all__ = ["Log", "parse_log"]
