"""Imports published weights: reads files safely, recognizes the network, and creates a run."""

from mnext_tf.checkpoints.file_formats import read_checkpoint
from mnext_tf.checkpoints.import_run import default_folder, import_checkpoint
from mnext_tf.checkpoints.recognize import recognize
from mnext_tf.checkpoints.tensor_names import load_pytorch_state_dict

__all__ = ["default_folder", "import_checkpoint", "load_pytorch_state_dict", "read_checkpoint", "recognize"]
