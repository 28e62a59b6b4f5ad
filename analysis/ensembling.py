"""Measure what each member of a network contributes to their ensemble."""

import math
import random
from dataclasses import dataclass, replace
from itertools import accumulate
from typing import List, Optional, Sequence, Tuple

import numpy as np
from tqdm import tqdm

from analysis.paths import count_lengths
from analysis.reproduction import interval
from network import members
from training.build import wrap_network
from training.evaluation import TrainedRun, recompute_bn_statistics
from training.metrics import Predictions, probabilities


@dataclass(frozen=True)
class MemberPredictions:
    """The Predictions of one member of a network."""

    path: Tuple[str, ...]  # its route in each block
    length: int  # weight layers
    predictions: Predictions


@dataclass(frozen=True)
class Contribution:
    """Errors (%) of one member, and of ensembles with and without it.

    An ensemble's prediction is the mean of its members' probabilities.
    """

    path: Tuple[str, ...]
    length: int
    alone: float
    without: Optional[float]  # error of the ensemble of all other members; None if there are none
    up_to: float  # error of the ensemble of it and all shallower members before it
    from_on: float  # error of the ensemble of it and all deeper members after it


@dataclass(frozen=True)
class Study:
    """Errors (%) of a network, its members and their ensembles."""

    whole: float
    ensemble: float  # error of the ensemble of all members
    mean: float  # mean of the members' own errors
    margin: float  # half the 95% confidence interval of ``mean``; 0 if all members were tested
    members: int  # number of members of the network
    contributions: Tuple[Contribution, ...]  # from shallow to deep


def study_members(whole: Predictions, members: Sequence[MemberPredictions], total: int) -> Study:
    """Return the Study of a network from the predictions of its members.

    Args:
        whole: Predictions of the whole network.
        members: those of all its members, or of a random sample, for the same images.
        total: the number of members that the network has.
    """
    members = sorted(members, key=lambda member: member.length)
    shares = [probabilities(member.predictions.logits) for member in members]
    none = np.zeros_like(shares[0])
    up_to = list(accumulate(shares, initial=none))  # [i]: the sum over the members before i
    from_on = list(accumulate(reversed(shares), initial=none))[::-1]  # [i]: over i and later ones

    def error(summed):
        return Predictions(summed, whole.labels).error()  # the largest probability counts

    contributions = tuple(
        Contribution(
            path=member.path,
            length=member.length,
            alone=member.predictions.error(),
            without=error(up_to[i] + from_on[i + 1]) if len(members) > 1 else None,
            up_to=error(up_to[i + 1]),
            from_on=error(from_on[i]),
        )
        for i, member in enumerate(members)
    )
    alone = [contribution.alone for contribution in contributions]
    return Study(
        whole=whole.error(),
        ensemble=error(from_on[0]),
        mean=math.fsum(alone) / len(alone),
        margin=_margin(alone, total),
        members=total,
        contributions=contributions,
    )


def measure_members(
    trained: TrainedRun, size: int, seed: int
) -> Tuple[Predictions, List[MemberPredictions], int]:
    """Test the network that a run trained, and its members, on the images of its test errors.

    A member of an ``ensemble`` was trained with its own moving averages. A member of another
    network was not trained alone: it shares the network's parameters, and its moving averages are
    recomputed from training images.

    Args:
        trained: the run.
        size: the largest number of members to test; if there are more, they are sampled.
        seed: seed of the sample.

    Returns:
        (Predictions of the whole; MemberPredictions; number of members that the network has).

    Raises:
        InputError: the network has no members, or the training images are needed and have changed.
    """
    engine = trained.engine
    net, uncoupled = engine.net, bool(engine.loss_weights)
    total = len(net.subnetworks) if uncoupled else members.count_members(net)
    if uncoupled:
        paths = net.paths if size >= total else random.Random(seed).sample(net.paths, size)
    else:
        trained.require_training_images()
        paths = members.sample_paths(net, size, seed)
    found = []
    for path in tqdm(paths, "members", leave=False, disable=None):
        if uncoupled:
            index = net.paths.index(path)
            member, predicted = net.subnetworks[index], trained.predictions(subnetwork=index)
        else:
            member = members.Member(net, path, prefix=f"{net.prefix}member_")
            predicted = _predict_alone(trained, member)
        (length,) = count_lengths(member)
        found.append(MemberPredictions(path, length, predicted))
    return trained.predictions(), found, total


def _predict_alone(trained, member):
    """Return the Predictions of a member that was not trained separately."""
    for parameter in member.collect_params().values():
        if parameter.grad_req == "null":  # the other parameters belong to the whole network
            parameter.initialize(ctx=trained.engine.devices)
    engine = wrap_network(trained.run, member, member, trained.engine.devices)
    recompute_bn_statistics(trained.data, engine)
    return replace(trained, engine=engine).predictions()


def _margin(sample, total):
    """Return half Student's 95% interval of the mean of a sample drawn without replacement."""
    if len(sample) == total:
        return 0.0
    if len(sample) == 1:
        return math.inf
    low, high = interval([sample])
    return math.sqrt(1 - len(sample) / total) * (high - low) / 2
