"""What an image and its label are: data sets, the files that hold them, batches made from them."""

import compat  # noqa: F401  (sees to Python, NumPy and threads before MXNet is imported)
