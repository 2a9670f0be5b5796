"""From images on disk to batches."""
