# Image for NVIDIA GPUs with the engine on PyTorch. Build and run it in the folder of the checkout:
#   docker build -f docker/cuda.Dockerfile -t deep-fusion-cuda .
#   docker run --rm -it --gpus all -v "$PWD/snapshot:/deep-fusion/snapshot" deep-fusion-cuda \
#     python train_cifar.py --engine torch --dataset digits --network cross --depth 26
# The host needs NVIDIA's driver and container toolkit. The CUDA libraries come with the Python packages.
FROM python:3.11-slim-bookworm
# MXNet builds and describes the networks, on the CPU. With --build-arg MXNET=cu112, MXNet's own engine uses
# GPUs, too, up to compute capability 8.9; that image cannot import MXNet without a driver.
ARG MXNET=cpu
# Extras of setup.py besides that of MXNet, separated by commas.
ARG EXTRAS=torch,report,tensorboard
ENV NVIDIA_VISIBLE_DEVICES=all NVIDIA_DRIVER_CAPABILITIES=compute,utility
WORKDIR /deep-fusion
COPY . .
RUN sh tools/system.sh python3 $(echo "$EXTRAS" | tr , " ") && rm -rf /var/lib/apt/lists/*
RUN python3 -m pip install --no-cache-dir -e ".[$MXNET,$EXTRAS]"
CMD ["python3", "-m", "tools.doctor"]
