"""Make a pretrained network from a run: its parameters as float16, and its card."""

from dataclasses import replace

from command import InputError
from network import has_columns
from network.pretrained.cards import Card, round_values, write_pretrained
from results import read_settings
from results.aggregate import median_run
from training import checkpoint
from training.evaluation import restore


def publish_pretrained(folder, config, images, data_dir=None):
    """Make a pretrained network from the finished run in ``folder``; return its files' paths.

    Its test error is measured with the rounded parameters, on the run's test images.

    Args:
        config: the run's settings without those of a machine.
        images: description of its images.
        data_dir: folder of its .rec files; None means the run's.

    Raises:
        InputError: another run of the setting is closer to the median error, the images have
            changed, or the run uses photographs, a network without a depth, or held-out images for
            the test.
    """
    group = require_pretrained(folder)
    trained = restore(folder, dtype="float32", data_dir=data_dir)
    if trained.data.facts() != trained.stored.data:  # the card would have errors of other images
        raise InputError(f"the images are not those of the run in {folder}")
    values = round_values(trained.stored.values)
    trained.engine.load_state_dict({n: v.astype("float32") for n, v in values.items()}, {})
    card = make_card(trained, config, images, sorted(record.run.seed for record in group))
    return write_pretrained(replace(card, **_measure(trained)), values)


def require_pretrained(folder):
    """Check that the run in ``folder`` can become a pretrained network.

    Returns:
        The RunRecords that differ from it only in the seed, and itself.

    Raises:
        InputError: it cannot; see ``publish_pretrained``.
    """
    folder = folder.resolve()  # "." has no parent
    group = _find_setting(folder)
    closest = _closest_to_median(group)
    if closest is None:
        raise InputError(f"{folder} has no checkpoint")
    if closest.folder != folder:
        raise InputError(
            f"{closest.folder} has the error closest to the median of {len(group)} seeds: "
            "publish it"
        )
    run = closest.run
    if run.val_split or run.classes is not None or run.depth is None:
        raise InputError(
            f"{folder} cannot become a pretrained network: it must have a depth, use small images "
            "and be tested on the test set"
        )
    return group


def make_card(trained, config, images, seeds):
    """Return the Card of a TrainedRun; see ``publish_pretrained`` for other arguments.

    Args:
        seeds: seeds of all runs of its setting.
    """
    run, data = trained.run, trained.data
    return Card(
        network=run.network,
        depth=run.depth,
        widen_factor=run.widen_factor,
        dataset=run.dataset,
        images=images,
        classes=list(data.class_names),
        image_size=data.image_shape[1],
        mean=list(data.mean),
        std=list(data.std),
        recipe_name=run.recipe_name,
        recipe=run.recipe.to_json(),
        epochs=trained.row["epoch"],
        engine=config["machine"]["engine"],
        seed=run.seed,
        seeds=seeds,
        data=trained.stored.data,
        run_error=trained.row["test_error"],
        command=config["command"],
        commit=config["commit"],
    )


def _measure(trained):
    """Return the errors for a card, measured with the current parameters."""
    columns = range(trained.engine.num_subnetworks if has_columns(trained.run.network) else 0)
    return {
        "test_error": trained.predictions().error(),
        "column_errors": [trained.predictions(None, index).error() for index in columns],
    }


def _closest_to_median(group):
    """Return the record with the error closest to the median; None if no run has a checkpoint.

    Runs without a checkpoint count for the median, but cannot be chosen. Of two runs that are
    equally close, it is the one with the higher error.
    """

    def closeness(record):
        distance = abs(_error(record) - _error(median))
        return -distance, _error(record), record is median

    median = median_run(group)
    kept = [r for r in group if checkpoint.list_checkpoints(r.folder / checkpoint.FOLDER)]
    return max(kept, key=closeness, default=None)


def _error(record):
    return record.rows[-1]["test_error"]


def _find_setting(folder):
    """Return the RunRecords that differ from the run in ``folder`` only in the seed, and itself.

    Args:
        folder: an absolute path without symbolic links.
    """
    settings, left_out = read_settings(folder.parent)
    for group in settings:
        if any(record.folder == folder for record in group):
            return group
    (reason,) = (record.problem for record in left_out if record.folder == folder)
    raise InputError(f"{folder} cannot be published: {reason}")
