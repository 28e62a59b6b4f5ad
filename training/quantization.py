"""Quantize an ONNX file: 8-bit convolutions and dense layers, calibrated on training images."""

from dataclasses import dataclass
from pathlib import Path
from typing import Callable, Optional

import numpy as np

from command import CommandError
from engine.torch_export import load_onnx, quiet
from network.graph import INPUT
from training.evaluation import TrainedRun
from training.metrics import Predictions

CALIBRATION_IMAGES, BATCH_SIZE = 256, 64


def quantize(path, batches):
    """Replace the ONNX file ``path`` by one whose convolutions and dense layers compute in int8.

    This is onnxruntime's static quantisation: QDQ format, activations in 8 bits between the lowest
    and the highest value for ``batches``, weights with a scale for each channel. Weights have 7
    bits, because on processors without VNNI the sum of two 8-bit products overflows 16 bits.

    Args:
        batches: iterable of images, arrays (batch, channels, height, width).
    """
    from onnxruntime import quantization as ort

    class Reader(ort.CalibrationDataReader):
        def __init__(self):
            self._batches = iter(batches)

        def get_next(self):
            images = next(self._batches, None)
            return None if images is None else {INPUT: images}

    aside = Path(f"{path}.int8")
    try:
        with quiet():  # it advises to optimize a graph that is already optimized
            ort.quantize_static(
                str(path),
                str(aside),
                Reader(),
                quant_format=ort.QuantFormat.QDQ,
                per_channel=True,
                reduce_range=True,
                activation_type=ort.QuantType.QUInt8,  # QInt8 would need an operator for each ReLU
                weight_type=ort.QuantType.QInt8,
            )
        aside.replace(path)
    finally:
        aside.unlink(missing_ok=True)


def take_images(trained):
    """Yield batches of the first CALIBRATION_IMAGES training images of the run's first epoch.

    They are mirrored and shifted as in training, and are the same each time.
    """
    left = CALIBRATION_IMAGES
    for batch in trained.data.plain_batches(trained.engine.workers):
        yield batch.images[:left]
        left -= len(batch.images)
        if left <= 0:
            return


@dataclass(frozen=True)
class Int8:
    """Quantizes an ONNX file of a run, unless this increases the error too much.

    Args:
        trained: the TrainedRun; it must have the training images of its run.
        subnetwork: index of the column that the file contains; None means the whole network.
        prepare: function that maps normalised images to the file's input: images or pixels.
        tolerance: allowed increase of the test error, in points.
    """

    trained: TrainedRun
    subnetwork: Optional[int]
    prepare: Callable[[np.ndarray], np.ndarray]
    tolerance: float

    def quantize(self, stem):
        """Quantize ``<stem>.onnx`` in place; return the facts for its description.

        Raises:
            CommandError: the error increases by more than ``tolerance``.
        """
        path = Path(f"{stem}.onnx")
        size, before = path.stat().st_size, self._measure_error(load_onnx(stem))
        quantize(path, map(self.prepare, take_images(self.trained)))
        after = self._measure_error(load_onnx(stem))
        images = self.trained.run.tested_on
        if not after - before <= self.tolerance:
            raise CommandError(
                f"int8 has an error of {after:.2f}% on the {images} images, float32 "
                f"{before:.2f}%: the difference is above int8_tolerance {self.tolerance:g}, so "
                "nothing was written",
                argument="int8_tolerance",
            )
        return {
            "images": images,
            "calibration_images": CALIBRATION_IMAGES,
            "distinct_images": min(CALIBRATION_IMAGES, len(self.trained.data.train)),
            "calibration_seed": self.trained.run.seed,
            "error_float32": before,
            "error": after,
            "bytes_float32": size,
            "bytes": path.stat().st_size,
        }

    def _measure_error(self, predict):
        """Return the error (%) of ``predict`` on the images that the run is tested on."""
        data, logits, labels = self.trained.data, [], []
        for batch in data.test_batches(data.test, BATCH_SIZE):
            logits.append(predict(self.prepare(batch.images)))
            labels.append(batch.labels)
        return Predictions(np.concatenate(logits), np.concatenate(labels)).error()
