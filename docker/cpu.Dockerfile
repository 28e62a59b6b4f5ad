# The project on a CPU. From the folder of the checkout:
#   docker build -f docker/cpu.Dockerfile -t deep-fusion .
#   docker run --rm -it -v "$PWD/snapshot:/deep-fusion/snapshot" deep-fusion \
#     python train_cifar.py --dataset digits --network cross --depth 26
# Data sets of the host are mounted one by one: -v "$PWD/data/cifar10:/deep-fusion/data/cifar10".
FROM python:3.11-slim-bookworm
# Extras of setup.py beside cpu, separated by commas. Others are torch, onnx and gluoncv.
ARG EXTRAS=report,tensorboard
WORKDIR /deep-fusion
COPY . .
RUN sh tools/system.sh python3 $(echo "$EXTRAS" | tr , " ") && rm -rf /var/lib/apt/lists/*
RUN python3 -m pip install --no-cache-dir -e ".[cpu,$EXTRAS]"
CMD ["python3", "-m", "tools.doctor"]
