# Image for CPUs. Build and run it in the folder of the checkout:
#   docker build -f docker/cpu.Dockerfile -t deep-fusion .
#   docker run --rm -it -v "$PWD/snapshot:/deep-fusion/snapshot" deep-fusion \
#     python train_cifar.py --dataset digits --network cross --depth 26
# Mount each data set of the host: -v "$PWD/data/cifar10:/deep-fusion/data/cifar10".
FROM python:3.11-slim-bookworm
# Extras of setup.py besides cpu, separated by commas; torch, onnx and gluoncv are also possible.
ARG EXTRAS=report,tensorboard
WORKDIR /deep-fusion
COPY . .
RUN sh tools/system.sh python3 $(echo "$EXTRAS" | tr , " ") && rm -rf /var/lib/apt/lists/*
RUN python3 -m pip install --no-cache-dir -e ".[cpu,$EXTRAS]"
CMD ["python3", "-m", "tools.doctor"]
