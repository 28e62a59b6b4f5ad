"""The ensemble that fuse3 is compared with: the members of fuse3, without fusions between them.

Zhao et al., "On the Connection of Deep Fusion to Ensembling"; ``ensemble`` of their project.
"""

from mxnet.gluon import HybridBlock, nn

from network.fuse3 import fuse3
from network.members import Member, list_paths
from network.registry import register_model


class EnsembleNet(HybridBlock):
    """logits = log(mean over the members m of softmax(m(x))).

    The members are the paths through the FusionNet ``fused``: 2^3 for three blocks with two routes.
    They share its convolutions, gamma, beta and classifier. Each has its own moving averages and
    loss, and no activation of one member reaches another.

    Images (batch, 3, 32, 32) -> logits (batch, classes), logarithms of the mean probabilities.

    Attributes:
        paths: for each member, the names of its routes, one per block.
        subnetworks: the members.
        loss_weights: {index of a member: weight of its loss} in every training step, all equal.
        built_depth: see FusionNet.
    """

    def __init__(self, fused, **kwargs):
        super().__init__(**kwargs)
        self.paths, self.built_depth = list_paths(fused), fused.built_depth
        self.loss_weights = dict.fromkeys(range(len(self.paths)), 1 / len(self.paths))
        with self.name_scope():
            self.subnetworks = nn.HybridSequential(prefix="")
            with self.subnetworks.name_scope():
                for index, path in enumerate(self.paths):
                    self.subnetworks.add(Member(fused, path, prefix=f"member{index}_"))
            self.classifier = fused.classifier

    def hybrid_forward(self, F, x):
        logits = [member(x) for member in self.subnetworks]
        logs = F.log_softmax(F.stack(*logits, axis=0), axis=-1)
        highest = F.BlockGrad(F.max(logs, axis=0, keepdims=True))  # or exp may underflow to 0
        mean = F.mean(F.exp(F.broadcast_sub(logs, highest)), axis=0)
        return F.log(mean) + F.squeeze(highest, axis=0)


@register_model
def ensemble(depth=56, classes=10, widen_factor=1, prefix=None, params=None):
    """Build the ensemble of the members of fuse3 for 32x32 images."""
    fused = fuse3(depth, classes, widen_factor, prefix=prefix, params=params)
    return EnsembleNet(fused, prefix=prefix, params=params)
