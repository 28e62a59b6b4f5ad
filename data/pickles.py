"""Read pickles of arrays and plain values, such as CIFAR's, without running any code in them."""

import io
import pickle
import re

import numpy as np


def read_pickle(data):
    """Return the dict pickled in ``data``, with text as keys and NumPy arrays as values.

    Raises:
        Exception: ``data`` is damaged, or asks for anything else; of nearly any type.
    """
    batch = _ArrayUnpickler(io.BytesIO(data), encoding="bytes").load()
    return {
        _text(key): value.to_numpy() if isinstance(value, _Array) else value
        for key, value in batch.items()
    }


class _Dtype:
    """Stands in for numpy.dtype while unpickling; allows only integers."""

    def __init__(self, code, *_):
        self.code, self.order = _text(code), "<"

    def __setstate__(self, state):
        self.order = _text(state[1])

    def to_numpy(self):
        if not re.fullmatch("[iu][1248]", self.code) or self.order not in ("<", ">", "|"):
            raise ValueError(f"an array of {self.code}")
        return np.dtype(self.order.replace("|", "<") + self.code)


class _Array:
    """Stands in for numpy.ndarray while unpickling, which could read any memory address."""

    def __setstate__(self, state):
        _, self.shape, self.dtype, self.fortran, self.data = state

    def to_numpy(self):
        array = np.frombuffer(self.data, self.dtype.to_numpy())
        return array.reshape(self.shape, order="F" if self.fortran else "C")


def _text(value):
    return value.decode("ascii") if isinstance(value, bytes) else value


def _reconstruct(*_):
    return _Array()


def _from_buffer(data, dtype, shape, order):
    """Stand in for numpy's ``_frombuffer``, with which protocol 5 writes arrays."""
    array = _Array()
    array.__setstate__((1, shape, dtype, order == "F", data))
    return array


def _scalar(dtype, data):
    """Return a NumPy number as a Python number."""
    return np.frombuffer(data, dtype.to_numpy())[0].item()


def _encode(text, encoding):
    """Stand in for ``_codecs.encode``, with which Python 3 writes bytes in protocol 2."""
    if encoding != "latin1":
        raise pickle.UnpicklingError(f"bytes in {encoding}")
    return text.encode("latin1")


class _ArrayUnpickler(pickle.Unpickler):
    """Builds dicts, lists, strings, numbers and arrays; any other class is an error."""

    KNOWN = {
        ("numpy", "ndarray"): _Array,
        ("numpy", "dtype"): _Dtype,
        ("_codecs", "encode"): _encode,
        ("collections", "OrderedDict"): dict,
        ("numpy.core.multiarray", "_reconstruct"): _reconstruct,
        ("numpy._core.multiarray", "_reconstruct"): _reconstruct,
        ("numpy.core.multiarray", "scalar"): _scalar,
        ("numpy._core.multiarray", "scalar"): _scalar,
        ("numpy.core.numeric", "_frombuffer"): _from_buffer,
        ("numpy._core.numeric", "_frombuffer"): _from_buffer,
    }

    def find_class(self, module, name):
        if (module, name) not in self.KNOWN:
            raise pickle.UnpicklingError(f"it asks for {module}.{name}, which CIFAR does not use")
        return self.KNOWN[module, name]
