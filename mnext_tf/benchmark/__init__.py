"""Timing of TFLite files on this host: `suite.run_benchmark` exports and times networks, `results` reads and writes."""
