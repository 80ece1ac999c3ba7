"""What differs between tasks. A task says what a label is, the loss, decoding, metrics, what an exported file may
contain, and what "the same network" means; the loop, the exporter, and the evaluation are the same for all."""

from mnext_tf.errors import one_of
from mnext_tf.tasks.classification import Classification
from mnext_tf.tasks.tolerance import Tolerance

TASKS = {task.name: task for task in (Classification(),)}

__all__ = ["TASKS", "Classification", "Tolerance", "get_task"]


def get_task(name: str) -> Classification:
    """The task of that name. Raises ConfigError for an unknown one."""
    one_of("task", name, TASKS)
    return TASKS[name]
