"""A run from beginning to end. The one place that joins network, data and training."""

import os
import platform
import re
import shlex
import subprocess
import sys
import time
import zlib
from contextlib import nullcontext
from dataclasses import asdict, replace
from datetime import timedelta
from itertools import chain, count, islice, repeat
from pathlib import Path

import mxnet as mx
import numpy as np
from tqdm import tqdm

from command import CommandError, InputError, Interrupted, nearest
from data import records
from data.sources import Photographs, SmallImages
from data.spec import get_spec
from network import drop_path, get_model, lesions, members
from network.complexity import complexity
from network.initializer import INITIALIZERS
from network.paths import count_lengths
from training import checkpoint, precision, tensorboard
from training.anytime import Point, measure
from training.curves import PARTS, draw_curves, draw_parts
from training.devices import contexts, torch_device
from training.engine import MXNetEngine
from training.lesions import doubling, lesion_study
from training.log import (
    NoLog,
    RunLog,
    claim,
    find_runs,
    locked,
    read_config,
    read_log,
    write_config,
)
from training.loop import evaluate, train_epoch
from training.members import MemberPredictions
from training.metrics import probabilities
from training.plain import from_plain
from training.recipe import differences
from training.run import Facts, Machine, Run
from training.schedule import step_lr
from training.tally import NonFiniteLoss
from training.torch_engine import TorchEngine
from training.torch_workers import torch_join
from training.workers import join

ROOT = Path(__file__).resolve().parent.parent
OBSERVED = 50  # batches that moving averages are estimated from: the rest of 0.9^50 is 0.5%


def find(run, machine):
    """The newest folder of ``machine``'s log_dir and exp_name that holds just this run, or None."""
    top = Path(machine.log_dir) / run.dataset
    if not top.is_dir():
        return None
    for folder in reversed(find_runs(top)):
        if re.fullmatch(re.escape(machine.exp_name) + r"\d+", folder.name):
            try:
                if Run.from_json(read_config(folder)) == run:
                    return folder
            except InputError:
                continue  # a damaged or foreign config is no match
    return None


def fit(run, machine, folder=None):
    """Train ``run`` to its last epoch; returns its folder.

    Of several workers that of rank 0 keeps the run's files; the others return None.

    Args:
        folder: an unfinished run's, to go on with from its newest checkpoint; None makes a new one.

    Raises:
        InputError: a setting or a file cannot be used; nothing has been written then.
        Interrupted: the process was told to stop; the message says how to go on.
        CommandError: the loss is not finite any more, or a device has too little memory.
    """
    devices = _devices(run, machine.engine, machine.gpus)
    net, predictor, cost = _networks(run)
    if machine.log_columns and not hasattr(net, "column"):
        raise InputError(f"--log-columns: {run.network} has no columns")
    if machine.tensorboard:
        tensorboard.require()
    source, train = source_of(run), load_images(run, "train")
    test = load_images(run, reported_on(run))
    with _join(machine, devices) as workers:
        if run.recipe.batch_size % workers.count:
            raise InputError(
                f"a batch of {run.recipe.batch_size} cannot be shared by {workers.count} workers: "
                "give --batch-size a multiple of their number"
            )
        engine = _engine(run, net, predictor, devices, machine.engine, workers)
        facts = Facts(
            recipe_changes=differences(run.recipe, run.recipe_name),
            parameters=cost.parameters,
            multiply_adds=cost.multiply_adds,
            layers=cost.layers,
            devices=len(devices),
            workers=workers.count,
            data={"train": source.facts(train), "test": source.facts(test)},
        )
        train, test = (source.hold(images, engine.hold) for images in (train, test))
        if folder is None and workers.rank == 0:
            folder = claim(parent_folder(run, machine, cost.layers), machine.exp_name)
            write_config(folder, {**run.to_json(), **asdict(facts), **_circumstances(machine)})
        again = f"python {shlex.quote(sys.argv[0])} --resume {shlex.quote(str(folder))}"
        try:
            with locked(folder) if workers.rank == 0 else nullcontext():
                _train(run, machine, folder, facts, engine, train, test)
        except KeyboardInterrupt:
            if workers.rank:
                raise Interrupted("interrupted") from None
            raise Interrupted(f"interrupted; go on with: {workers.launcher}{again}") from None
        except OSError as error:
            if workers.rank:
                raise
            raise OSError(
                f"{error}; when that is mended, go on with: {workers.launcher}{again}"
            ) from None
        except RuntimeError as error:  # MXNet's and PyTorch's errors are
            if "out of memory" not in str(error).lower():
                raise
            raise CommandError(f"{folder}: a device is out of memory: lower --batch-size") from None
    return folder if workers.rank == 0 else None


def _require(name, known, what):
    if name not in known:
        raise InputError(f"there is no {what} {name!r}{nearest(name, known)}")


def parent_folder(run, machine, layers):
    """Folder that holds every run of the same network on the same data set."""
    network = run.network.replace(":", "-")
    setting = f"{network}_d{run.depth or layers}w{run.widen_factor}"
    return Path(machine.log_dir) / run.dataset / setting


def restore(folder, gpus=None, epoch=None, engine=Machine.engine, dtype=None):
    """The run in ``folder`` as it was after an epoch: (run, engine, the log's row).

    The moving averages of the whole network are those it was tested with; those of parts, where the
    row has errors of theirs.

    Args:
        gpus: see training.devices.
        epoch: one that has a checkpoint; None takes the newest.
        engine: one of training.run.ENGINES, whichever trained.
        dtype: what to compute in; None takes the run's.

    Raises:
        InputError: there is no such run or checkpoint, or it is damaged.
    """
    run = Run.from_json(read_config(folder))
    checkpoints = Path(folder) / checkpoint.FOLDER
    path = checkpoint.latest(checkpoints)
    if epoch is not None:
        path = checkpoint.path_of(checkpoints, epoch)
    if path is None or not path.is_dir():
        there = sorted(filter(None, map(checkpoint.epoch_of, checkpoints.glob("epoch*"))))
        raise InputError(f"{folder} has no such checkpoint (there are: {there or 'none'})")
    values, momenta, rows = checkpoint.load(path)
    if dtype:
        run = replace(run, dtype=dtype)
    devices = _devices(run, engine, gpus)
    net, predictor, _ = _networks(run)
    engine = _engine(run, net, predictor, devices, engine)
    engine.load(values, momenta)
    return run, engine, rows[-1]


def ensemble_of(folder, size, seed, gpus=None):
    """The network that a run trained, and its members, on the images that the run is tested on.

    A member of an ``ensemble`` was trained as it is. One of another network never was alone: its
    moving averages are estimated anew from training images, all else it has from the whole.

    Args:
        size, seed: the most members, and what decides which where there are more of them.

    Returns:
        (Predictions of the whole; MemberPredictions; number of members that the network has).

    Raises:
        InputError: there is no such run, it has no checkpoint, or its network has no members.
    """
    run, engine, _ = restore(folder, gpus)
    net, found = engine.net, []
    there = len(net.parts) if engine.losses else members.count(net)
    paths = net.paths if engine.losses else members.sample(net, size, seed)
    train, test = training_images(folder, run), load_images(run, reported_on(run))
    for part, path in enumerate(tqdm(paths, "members", leave=False, disable=None)):
        if engine.losses:
            member, predicted = net.parts[part], predictions(run, engine, test, part)
        else:
            member = members.Member(net, path, prefix=f"{net.prefix}member_")
            for parameter in member.collect_params().values():
                if parameter.grad_req == "null":  # the others are the whole network's
                    parameter.initialize(ctx=engine.contexts)
            alone = _wrapped(run, member, member, engine.contexts)
            observe(run, alone, train)
            predicted = predictions(run, alone, test)
        (length,) = count_lengths(member)
        found.append(MemberPredictions(path, length, predicted))
    return predictions(run, engine, test), found, there


def lesions_of(folder, draws, seed, gpus=None):
    """The LesionStudy of the network that a run trained, on the images that the run is tested on.

    Args:
        draws, seed: how many random orders to take parts out in, and what decides them.

    Raises:
        InputError: there is no such run, it has no checkpoint, or its network fuses nothing.
    """
    run, engine, _ = restore(folder, gpus)
    fusions = lesions.fusions(engine.net)
    test = load_images(run, reported_on(run))
    values, momenta = engine.arrays()

    def error(removed):
        factors = lesions.factors(engine.net, fusions, removed)
        changed = {name: values[name] * np.float32(factor) for name, factor in factors.items()}
        engine.load({**values, **changed}, momenta)
        return predictions(run, engine, test).error()

    single = lesions.single(fusions)
    orders = [lesions.draw(fusions, f"{seed} {number}") for number in range(draws)]
    total = 1 + len(single) + draws * len(doubling(len(orders[0])))
    with tqdm(desc="lesions", total=total, leave=False, disable=None) as bar:

        def counted(removed):
            bar.update()
            return error(removed)

        return lesion_study(counted, single, orders)


def points_of(run, engine, found):
    """Points of every column and of the whole network, from Predictions of each."""
    size = source_of(run).size
    shape, parts = (3, size, size), [*range(engine.parts), None]
    points = []
    for part, predicted, seconds in zip(parts, found, measure(engine, parts, shape)):
        cost = complexity(engine.network(part), shape)
        points.append(
            Point(
                name="whole" if part is None else f"column {part}",
                depth=run.depth if part is None else engine.net.depths[part],
                parameters=cost.parameters,
                multiply_adds=cost.multiply_adds,
                error=predicted.error(),
                loss=predicted.loss,
                seconds=seconds,
            )
        )
    return points


def source_of(run):
    """What the run's images come from; see data.sources."""
    if run.classes is None:
        return SmallImages(get_spec(run.dataset))
    return Photographs(run.data_dir, run.classes, run.data_shape)


def class_names(run):
    """The names of the run's classes; None where photographs have no list of just them any more."""
    source = source_of(run)
    try:
        names = source.class_names
    except InputError:
        return None
    return names if len(names) == source.classes else None


def classify(folder, paths, gpus=None, epoch=None):
    """What the network of a run takes pictures for: (probabilities, names of the classes).

    Args:
        paths: of image files of any size; see ``picture`` in data.sources.

    Returns:
        Array (pictures, classes), and the names, or numbers where ``class_names`` knows none.

    Raises:
        InputError: a picture cannot be used; there is no such run, or no checkpoint.
    """
    run, engine, _ = restore(folder, gpus, epoch)
    source = source_of(run)
    logits = [engine.gather(engine.predict(source.picture(path)[None])) for path in paths]
    return probabilities(np.concatenate(logits)), class_names(run) or range(run.classes)


def reported_on(run):
    """The images that the log's test errors are of: "test", or "held-out" ones."""
    return "held-out" if run.val_split else "test"


def load_images(run, which):
    """The images a run trains on ("train"), holds out of them ("held-out"), or the "test" set."""
    if which == "test":
        return _load_file(run, run.test_file)
    train = _load_file(run, run.train_file)
    if not run.val_split:
        return train
    return source_of(run).split(train, run.val_split)[which == "held-out"]


def training_images(folder, run):
    """The images that the run in ``folder`` was trained on.

    Raises:
        InputError: they are not there any more, or others are.
    """
    train = load_images(run, "train")
    if from_plain(Facts, read_config(folder)).data.get("train") != source_of(run).facts(train):
        raise InputError(f"the training images are not those that the run in {folder} began with")
    return train


def _load_file(run, name):
    path = Path(run.data_dir) / name
    if not path.exists():
        raise InputError(
            f"there is no {path}: make it with python -m data.prepare "
            f"{run.dataset if run.classes is None else 'imagenet'}, or name the folder it is in "
            "with --data-dir"
        )
    return source_of(run).load(path)


def estimate(run, engine, train, part=None):
    """Estimate moving averages where those of training would fit badly.

    That is where the network is trained with dropout or drop-path, above all with dropout before
    BN, and for parts that are not trained as they are. Estimates are without both, each time from
    the same images.

    Args:
        train: the images that the run trains on.
    """
    trained = part is None and not run.recipe.dropout and run.recipe.drop_path == "none"
    if not (trained or engine.losses):
        observe(run, engine, train, part)


def observe(run, engine, train, part=None):
    """Estimate moving averages anew; see ``estimate``."""
    # a small set has few batches, so more than one epoch of them
    epochs = (_train_batches(run, engine, train, epoch) for epoch in count())
    engine.observe(islice(chain.from_iterable(epochs), OBSERVED), part)


def predictions(run, engine, images, part=None, batch_size=250, crops=1):
    """Predictions of the network, or of a part of it, for ``images``.

    Args:
        crops: of each image, whose mean probabilities it gets: 1 or, of photographs, 10.
    """
    source = source_of(run)
    if crops not in source.crops:
        raise InputError(f"{run.dataset} has images of {source.size} x {source.size}: no crops")
    batches = source.test_batches(images, batch_size, crops)
    return evaluate(engine, _ahead(images, batches), part, crops)


def _ahead(images, batches):
    """``batches`` made ahead, where it is not a device that makes them."""
    return batches if getattr(images, "held", None) else records.prefetch(batches)


def _train_batches(run, engine, images, epoch):
    """The batches of an epoch, or a worker's share of each."""
    recipe, workers = run.recipe, engine.workers
    share = recipe.batch_size // workers.count
    return source_of(run).train_batches(
        images, share, recipe.augmentation, run.seed, epoch, workers.rank, workers.count
    )


def _networks(run):
    """The run's network, the same without dropout and drop-path, and its Complexity."""
    recipe, source = run.recipe, source_of(run)
    classes = source.classes
    _require(recipe.augmentation, source.augmentations, "augmentation")
    _require(recipe.initializer, INITIALIZERS, "initializer")
    _require(recipe.drop_path, drop_path.MODES, "drop-path")
    options = {}
    if recipe.dropout:
        options["dropout"] = recipe.dropout
    if recipe.drop_path in drop_path.LOCAL_MODES:
        options["drop_path"] = recipe.drop_path_rate
    size = (run.network, run.depth, classes, run.widen_factor)
    predictor = net = get_model(*size)
    if recipe.drop_path != "none" and not hasattr(net, "column"):
        raise InputError(
            f"{run.network} has no columns: drop-path is for FractalNet (--drop-path none)"
        )
    if options:
        net = get_model(*size, params=predictor.collect_params(), **options)
    cost = complexity(net, (3, source.size, source.size))
    if cost.outputs != ((classes,),):
        raise InputError(f"{run.network} gives outputs {cost.outputs}, not {classes} logits")
    return net, predictor, cost


def _devices(run, kind, gpus):
    """What an engine of a kind is to run on."""
    if kind == "torch":
        precision.require_known(run.dtype, precision.TORCH_DTYPES)
        return [torch_device(gpus)]
    devices = contexts(gpus)
    precision.use(run.dtype, devices)
    return devices


def _join(machine, devices):
    """The workers that this process is one of."""
    if machine.engine == "torch":
        if machine.kv_store != Machine.kv_store:
            raise InputError("--kv-store is MXNet's: processes of --engine torch start by torchrun")
        return torch_join(*devices, machine.wait_limit)
    return join(machine.kv_store, machine.wait_limit)


def _engine(run, net, predictor, devices, kind, workers=None):
    size = source_of(run).size
    places = [mx.cpu()] if kind == "torch" else devices
    net.initialize(INITIALIZERS[run.recipe.initializer](run.seed), ctx=places)
    for place in places:  # a peer learns the shapes of its parameters from its first images
        net(mx.nd.zeros((1, 3, size, size), ctx=place))
    return _wrapped(run, net, predictor, devices, kind, workers)


def _wrapped(run, net, predictor, devices, kind=Machine.engine, workers=None):
    """An engine of ``net``, whose parameters have values."""
    names = ("momentum", "weight_decay", "optimizer", "decayed")
    settings = {name: getattr(run.recipe, name) for name in names}
    settings.update(predictor=predictor, dtype=run.dtype, workers=workers)
    if kind == "torch":
        return TorchEngine(net, *devices, **settings)
    for each in (net, predictor):
        each.hybridize(static_alloc=True, static_shape=True)
    return MXNetEngine(net, devices, **settings)


def _train(run, machine, folder, facts, engine, train, test):
    """Train every epoch that is left of the run in ``folder``.

    Workers take the same steps and know the same figures; that of rank 0 writes them down.
    """
    epochs, first = run.recipe.epochs, engine.workers.rank == 0
    rows = _resume(folder, facts, engine) if folder else []
    _require_agreement(engine.workers, len(rows))
    log = RunLog(folder, _echo(machine)) if first else NoLog()
    log.rewrite(rows)
    log.say(
        f"{run.network} depth {run.depth or facts.layers} widen {run.widen_factor}: "
        f"{facts.parameters:,} parameters, {facts.multiply_adds / 1e6:,.1f} M multiply-adds, "
        f"longest path {facts.layers} layers"
    )
    log.say(
        f"{run.dataset}: {len(train):,} training images, "
        f"{len(test):,} {'held out' if run.val_split else 'test'} images; "
        f"on {', '.join(map(str, engine.contexts))}"
        f"{f' of each of {facts.workers} workers' if facts.workers > 1 else ''}; in {folder}"
    )
    if rows and first:
        log.say(f"resumed after epoch {len(rows)}")
        config = read_config(folder)
        resumed = {"epoch": len(rows), "workers": facts.workers, **_circumstances(machine)}
        write_config(folder, {**config, "resumed": [*config.get("resumed", []), resumed]})
    board = tensorboard.Board(folder, rows) if machine.tensorboard and first else None
    clock = _Clock(len(rows), epochs)
    every = machine.checkpoint_epochs or max(epochs // 8, 1)
    for epoch in range(len(rows) + 1, epochs + 1):
        try:
            row = _epoch(epoch, run, machine, engine, train, test, log, clock)
        except NonFiniteLoss as error:
            log.note(f"epoch {epoch}: {error}")
            raise CommandError(f"{folder}: in epoch {epoch} {error}; try a smaller --lr") from None
        rows.append(row)
        if not first:
            continue
        checkpoints = folder / checkpoint.FOLDER
        checkpoint.save(checkpoints, epoch, *engine.arrays(), rows)
        log.write(**row)
        if board:
            board.write(row)
        if (epoch - 1) % every:
            checkpoint.remove(checkpoints, epoch - 1)
        if epoch % every == 0:
            _draw(run, folder, rows)
        log.say(
            f"epoch {epoch}/{epochs}  lr {row['lr']:g}  "
            f"train loss {row['train_loss']:.4f} error {row['train_error']:.2f}%  "
            f"test loss {row['test_loss']:.4f} error {row['test_error']:.2f}%  "
            f"{row['seconds']:.1f} s  {row['images_per_second']:.0f} images/s  "
            f"left {clock.left(epoch)}"
        )
    if board:
        board.close()
    if first:
        _draw(run, folder, rows)


def _require_agreement(workers, epochs):
    """Workers go on from the same checkpoint."""
    done = workers.sum(np.eye(1, workers.count, workers.rank)[0] * epochs)
    if len(set(done)) > 1:
        raise InputError(
            f"workers find {' and '.join(f'{each:g}' for each in done)} epochs done: --log-dir "
            "must be a folder that all of them share"
        )


def _resume(folder, facts, engine):
    """Take up the newest checkpoint, if there is one; the rows of the epochs done."""
    if read_config(folder).get("data") != facts.data:
        raise InputError(f"the images are not those that the run in {folder} began with")
    checkpoint.sweep(folder / checkpoint.FOLDER)
    newest = checkpoint.latest(folder / checkpoint.FOLDER)
    if newest is None:
        if read_log(folder):  # a checkpoint is saved before its row is written
            raise InputError(f"the checkpoints of {folder} are gone: start a new run")
        return []
    values, momenta, rows = checkpoint.load(newest)
    engine.load(values, momenta)
    return rows


def _epoch(epoch, run, machine, engine, train, test, log, clock):
    """Train and test one epoch, counted from 1; its row of the log."""
    recipe = run.recipe
    lr = step_lr(epoch - 1, recipe.epochs, recipe.lr, recipe.lr_factor, recipe.lr_steps)
    engine.seed(zlib.crc32(f"{run.seed} {epoch}".encode()) % 2**31)
    batches = _ahead(train, _train_batches(run, engine, train, epoch))
    if engine.losses:
        weights = repeat(engine.losses)
    else:
        weights = drop_path.samples(recipe.drop_path, engine.parts, (run.seed, epoch, 2))
    name = f"epoch {epoch}/{recipe.epochs}"
    workers = engine.workers.count
    steps = records.number_of_batches(len(train), recipe.batch_size // workers, workers)
    hidden = machine.quiet or not sys.stderr.isatty()
    started = time.perf_counter()
    with tqdm(batches, name, steps, leave=False, unit="step", disable=hidden) as bar:

        def report(step, figures):
            error = f"error {figures.error:.2f}%"
            speed = f"{figures.examples / _since(started):.0f} images/s"
            left = f"left {clock.left(epoch - 1 + step / steps)}"
            line = f"{name}  step {step}/{steps}  loss {figures.loss:.4f} {error}  {speed}  {left}"
            (log.say if hidden else log.note)(line)
            bar.set_postfix_str(f"{error}, {speed}, {left}")

        trained = train_epoch(engine, bar, weights, lr, report, machine.log_iters)
    training = _since(started)
    tests = []
    every = engine.losses or machine.log_columns or epoch == recipe.epochs
    for part in (None, *range(engine.parts if every else 0)):
        estimate(run, engine, train, part)
        tests.append(predictions(run, engine, test, part, machine.test_batch_size))
    tested, *parts = tests
    row = {
        "epoch": epoch,
        "lr": lr,
        "train_loss": trained.loss,
        "train_error": trained.error,
        "test_loss": tested.loss,
        "test_error": tested.error(),
    }
    if source_of(run).shows_top5:
        row["test_top5_error"] = tested.error(5)
    if parts:
        kind = "member" if engine.losses else "column"
        row[f"{kind}_losses"] = [tested.loss for tested in parts]
        row[f"{kind}_errors"] = [tested.error() for tested in parts]
    return {
        **row,
        "seconds": _since(started),  # training and test
        "images_per_second": trained.examples / training,  # training alone
    }


def _since(started):
    """Seconds since ``started``; a clock that stood still or was set back makes none of them 0."""
    return max(time.perf_counter() - started, 1e-3)


class _Clock:
    """Time left until the last of ``epochs`` ends, after ``first`` that took none."""

    def __init__(self, first, epochs):
        self._first, self._epochs = first, epochs
        self._started = time.perf_counter()

    def left(self, done):
        """As h:mm:ss, after ``done`` epochs, which may be a fraction."""
        pace = _since(self._started) / (done - self._first)
        return timedelta(seconds=round(pace * (self._epochs - done)))


def _draw(run, folder, rows):
    title = f"{folder.parent.name} on {run.dataset}"
    draw_curves(rows, folder / "curves.png", title)
    for kind in PARTS:  # the last epoch tests parts in any case
        tested = [row for row in rows if f"{kind}_losses" in row]
        if len(tested) > 1 or len(tested) == len(rows):
            draw_parts(tested, kind, folder / f"{kind}s.png", title)


def _echo(machine):
    """Shows a line, above the progress bar; training outlives whoever reads its lines."""

    def echo(line):
        if not machine.quiet:
            try:
                tqdm.write(line, file=sys.stdout)
                sys.stdout.flush()
            except BrokenPipeError:
                sys.stdout = open(os.devnull, "w")  # noqa: SIM115  (until the process ends)

    return echo


def _circumstances(machine):
    """Where a run, or a part of it, was carried out."""
    return {
        "machine": asdict(machine),
        "threads": os.environ["OMP_NUM_THREADS"],
        "versions": {
            "python": platform.python_version(),
            "mxnet": mx.__version__,
            "numpy": np.__version__,
            "platform": platform.platform(),
        },
        "commit": _commit(),
        "command": sys.argv,
    }


def _commit():
    """Commit of the project's checkout, with a + where files differ from it; None outside git."""
    try:
        words = ["git", "-C", str(ROOT), "describe", "--always", "--abbrev=40", "--dirty=+"]
        done = subprocess.run(words, capture_output=True, text=True, check=True)
    except (OSError, subprocess.CalledProcessError):
        return None
    return done.stdout.strip()
