"""What annotation publishes after a commit."""

from __future__ import annotations


def dataset_topic(dataset_id: int) -> str:
    """Records of the dataset, their responses or the dataset itself changed."""
    return f"dataset:{dataset_id}"
