"""Images and labels: data sets, the files that hold them, and batches made from them."""

import compat  # noqa: F401  (prepares Python, NumPy and threads before MXNet is imported)

from data.augment import augment_batch, mirror, normalize, shift
from data.packing import prepare_dataset, prepare_own
from data.spec import DatasetSpec, get_spec, list_datasets

__all__ = [
    "DatasetSpec",
    "augment_batch",
    "get_spec",
    "list_datasets",
    "mirror",
    "normalize",
    "prepare_dataset",
    "prepare_own",
    "shift",
]
