"""The photographs with boxes beside the repository."""

import pytest


@pytest.fixture(scope="session")
def detection_data(repository):
    """Their folder; without it the test is skipped."""
    path = repository.parent / "shared/data/detection"
    if not path.exists():
        pytest.skip(f"the reference data is not there: {path}")
    return path
