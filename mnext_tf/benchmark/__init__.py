"""Timing of TFLite files on this host: `suite.run_benchmark` exports and times networks, `results` reads and writes."""

from __future__ import annotations

from mnext_tf.callable_package import make_callable

make_callable(__name__)
