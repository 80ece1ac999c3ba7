"""Trainings in a process of its own whose CPU counts as two devices: python two_devices.py DATA CASES.

CASES is JSON, [[run folder, distribute, recipe fields that replace the digits recipe's], ...]. Prints, in JSON, the
variables that are not the same on both devices at the end, for each case.
"""

import json
import sys
from pathlib import Path

import numpy as np
import tensorflow as tf

from mnext_tf.data import open_dataset
from mnext_tf.models import mnext
from mnext_tf.training import loop
from mnext_tf.training.recipes import resolve_recipe
from mnext_tf.training.settings import TrainSettings
from mnext_tf.training.start import start_run

SMALL = ((2, 96, 1, 2), (6, 192, 2, 2))  # MobileNeXt with 3 blocks in place of 20


def main(data: str, cases: str) -> None:
    cpu = tf.config.list_physical_devices("CPU")[0]
    tf.config.set_logical_device_configuration(cpu, [tf.config.LogicalDeviceConfiguration()] * 2)
    mnext.STAGES, networks = SMALL, []
    make = loop.Network
    loop.Network = lambda *arguments: networks.append(make(*arguments)) or networks[-1]
    dataset = open_dataset(Path(data), Path(data) / "cache")
    for folder, distribute, changes in json.loads(cases):
        run = start_run(Path(folder), "mnext", resolve_recipe("digits", changes), dataset)
        loop.train(run, dataset, settings=TrainSettings(distribute=distribute), progress=False)
    print(json.dumps([differing(network) for network in networks]))


def differing(network) -> list[str]:
    found = []
    for name, variable in network.state._named():
        held = getattr(variable, "value", variable)
        copies = [np.asarray(c) for c in getattr(held, "values", [held])]
        found += [name] * any(not np.array_equal(copies[0], copy) for copy in copies)
    return found


if __name__ == "__main__":
    main(*sys.argv[1:])
