"""Keep a set of small images on a GPU, and make batches of them there."""

import numpy as np


class DeviceImages:
    """Images as bytes on ``device``, where batches of them are computed.

    Args:
        pixels: uint8 (N, channels, height, width), height equal to width.
        mean, std: per channel, for pixels from 0 to 255.
        device: a torch.device.
    """

    def __init__(self, pixels, mean, std, device):
        import torch

        self._pixels = torch.as_tensor(pixels).to(device)
        statistics = torch.tensor([mean, std], dtype=torch.float32, device=device)
        self._mean, self._std = statistics.reshape(2, 1, -1, 1, 1)
        self._range = torch.arange(pixels.shape[-1], device=device)

    def batch(self, indices, moves=None, border=None, pad=0):
        """Return the images ``indices``, normalised: float32 (n, channels, height, width).

        Args:
            moves: (3, n): whether an image is mirrored (1 or 0), and the row and the column of the
                mirrored and padded image at which its crop begins; None leaves images as they are.
            border: how they are padded: "constant" (0 after normalisation) or "reflect".
            pad: number of pixels of padding on each side.
        """
        import torch
        from torch.nn import functional

        rows = [indices] if moves is None else [indices, *moves]
        rows = torch.as_tensor(np.stack(rows)).to(self._pixels.device, non_blocking=True)
        images = (self._pixels[rows[0]] - self._mean) / self._std
        if moves is None:
            return images
        images = functional.pad(images, [pad] * 4, border)
        mirrored, tops, lefts = rows[1:, :, None]
        down, right = tops + self._range, lefts + self._range
        right = torch.where(mirrored > 0, images.shape[-1] - 1 - right, right)
        each = torch.arange(len(images), device=images.device)[:, None, None, None]
        channels = torch.arange(images.shape[1], device=images.device)[:, None, None]
        return images[each, channels, down[:, None, :, None], right[:, None, None, :]]
