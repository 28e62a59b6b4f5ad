"""Early exit: an image is given to a deeper network only if the shallower one is not confident."""

from typing import Any, Callable, Sequence, Tuple

import numpy as np


def answer_early(
    predict: Callable[[Any, np.ndarray], Tuple[np.ndarray, np.ndarray]],
    count: int,
    chain: Sequence[Any],
    threshold: float,
) -> Tuple[np.ndarray, np.ndarray]:
    """Classify each image by the first network of ``chain`` whose confidence is high enough.

    The confidence is the largest probability, which must be at least ``threshold``. The last
    network classifies the remaining images.

    Args:
        predict: (network, indices of images) -> (logits, confidences) of these images. It is called
            once for each network that images reach.
        count: number of images, at least 1.
        chain: the networks, cheapest first.

    Returns:
        (logits (count, classes), positions in ``chain`` of the networks that answered (count,)).
    """
    left, answered = np.arange(count), np.empty(count, int)
    parts = []
    for position, network in enumerate(chain):
        logits, confidences = predict(network, left)
        last = position == len(chain) - 1
        leaves = np.full(len(left), True) if last else confidences >= threshold
        answered[left[leaves]] = position
        parts.append((left[leaves], logits[leaves]))
        left = left[~leaves]
        if not len(left):
            break
    order = np.argsort(np.concatenate([indices for indices, _ in parts]))
    return np.concatenate([logits for _, logits in parts])[order], answered
