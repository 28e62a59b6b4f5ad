"""Load the images of a run, each file once, and make batches of them."""

from functools import cached_property
from itertools import count
from pathlib import Path
from typing import Any, Dict, Iterable, Iterator, List, Optional, Tuple, Union

from command import InputError
from data import records
from data.lists import CLASSES
from data.regularize import Regularization, regularize
from data.sources import Photographs, SmallImages
from data.spec import DatasetSpec, PhotographSpec, get_spec, list_datasets, read_spec
from engine import Engine
from training.run import Run


class RunData:
    """The training, held-out and test images of a run.

    Args:
        spec: DatasetSpec of small images, or PhotographSpec; None reads the one of the data set
            that ``run`` names.

    Attributes:
        source: the source of the images; see data.sources.
        classes: number of labels.
        image_shape: (channels, height, width) of the network's input.
        mean, std: per channel (RGB), 0 to 255.
    """

    def __init__(self, run: Run, spec: Union[DatasetSpec, PhotographSpec, None] = None):
        self._run = run
        self._spec: Optional[DatasetSpec] = None  # of small images
        self.source: Union[SmallImages, Photographs]
        if run.classes is None:
            small = spec if isinstance(spec, DatasetSpec) else get_spec(run.dataset, run.data_dir)
            self._spec = small
            self.source = SmallImages(small)
        else:
            side = spec.shorter_side if isinstance(spec, PhotographSpec) else None
            self.source = Photographs(run.data_dir, run.classes, run.data_shape, side)
        self.classes = self.source.classes
        self.image_shape = (3, self.source.size, self.source.size)
        self.mean, self.std = self.source.mean, self.source.std

    @cached_property
    def train(self) -> Any:
        """Return the images that the run trains on.

        Raises:
            InputError: there is no such file, or it is damaged; likewise for ``test``.
        """
        return self._split[0] if self._run.val_split else self._training_file

    @cached_property
    def held_out(self) -> Any:
        """Return the training images that the run is tested on instead of the test set.

        Raises:
            InputError: the run holds no images out.
        """
        if not self._run.val_split:
            raise InputError("the run has no held-out training images")
        return self._split[1]

    @cached_property
    def test_set(self) -> Any:
        """Return the images of the test file."""
        return self._load(self._run.test_file)

    @property
    def test(self) -> Any:
        """Return the images that the run is tested on: held-out ones, or the test set."""
        return self.images(self._run.tested_on)

    def images(self, which: str) -> Any:
        """Return the "train", "held-out" or "test" images."""
        names = {"train": "train", "held-out": "held_out", "test": "test_set"}
        return getattr(self, names[which])

    def facts(self) -> Dict[str, Any]:
        """Return numbers and checksums of the training and test images, for ``config.json``."""
        return {"train": self.source.facts(self.train), "test": self.source.facts(self.test)}

    def describe(self) -> Optional[Dict[str, Any]]:
        """Return the description of a user's images, for ``config.json``, or None."""
        if self._spec is None:
            return PhotographSpec(self.class_names or (), self.source.shorter_side).to_json()
        return None if self._spec.name in list_datasets() else self._spec.to_json()

    @property
    def class_names(self) -> Optional[Tuple[str, ...]]:
        """Return the names of the classes, or None if there are none; see ``names_problem``."""
        return None if self.names_problem else self.source.class_names

    @property
    def shown_names(self) -> List[str]:
        """Return the names of the classes, or their numbers if there are no names."""
        return list(self.class_names or map(str, range(self.classes)))

    @property
    def names_problem(self) -> str:
        """Return why classes have no names, or "": the photographs' list may be missing."""
        try:
            count = len(self.source.class_names)
        except InputError as error:
            return str(error)
        if count == self.classes:
            return ""
        path = Path(self._run.data_dir) / CLASSES
        return f"{path} names {count} classes, but the run has {self.classes}"

    def cache_on_device(self, engine: Engine) -> None:
        """Cache the images on the device of ``engine``, if it can make batches there."""
        self.train = self.source.cache_on_device(self.train, engine.cache_on_device)
        tested = self.source.cache_on_device(self.test, engine.cache_on_device)
        if self._run.val_split:
            self.held_out = tested
        else:
            self.test_set = tested

    def train_batches(
        self, epoch: int, workers: Any, regularized: bool = True
    ) -> Iterable[records.Batch]:
        """Return the training batches of an epoch, or a worker's share of each.

        A thread makes them in advance. Order and augmentation depend on the run's seed and
        ``epoch``.

        Args:
            regularized: whether to apply the recipe's cutout, mixup and label smoothing.
        """
        recipe, seed = self._run.recipe, self._run.seed
        batches = self.source.train_batches(
            self.train,
            recipe.batch_size // workers.count,
            augmentation=recipe.augmentation,
            seed=seed,
            epoch=epoch,
            shard=workers.rank,
            num_shards=workers.count,
        )
        if regularized:
            how = Regularization(recipe.label_smoothing, recipe.mixup, recipe.cutout)
            batches = regularize(batches, how, self.classes, (seed, epoch, 3, workers.rank))
        return _make_ahead(self.train, batches)

    def plain_batches(self, workers: Any) -> Iterator[records.Batch]:
        """Yield training batches without regularization, epoch after epoch, without an end."""
        for epoch in count():
            yield from self.train_batches(epoch, workers, regularized=False)

    def count_batches(self, workers: Any) -> int:
        """Return the number of batches in an epoch."""
        share = self._run.recipe.batch_size // workers.count
        return records.number_of_batches(len(self.train), share, workers.count)

    def test_batches(self, images: Any, batch_size: int, crops: int = 1) -> Iterable[records.Batch]:
        """Return batches of every example once, or of ten crops of each photograph.

        Args:
            images: images from ``images`` or an attribute.
            crops: crops of each image: 1 or, for photographs, 10.
        """
        if crops not in self.source.crops:
            size = self.source.size
            raise InputError(f"{self._run.dataset} has images of {size} x {size}: no crops")
        return _make_ahead(images, self.source.test_batches(images, batch_size, crops))

    def test_share(self, batch_size: int, workers: Any) -> Iterable[records.Batch]:
        """Return a worker's share of the images that the run is tested on, in batches.

        Args:
            batch_size: images in a batch of one worker.
        """
        share = {"shard": workers.rank, "num_shards": workers.count}
        return _make_ahead(self.test, self.source.test_batches(self.test, batch_size, **share))

    @cached_property
    def _training_file(self):
        return self._load(self._run.train_file)

    @cached_property
    def _split(self):
        if not hasattr(self.source, "split"):
            raise InputError(
                f"val_split {self._run.val_split}: photographs are not held out; give other files "
                "as train_file and test_file",
                argument=("val_split", "train_file", "test_file"),
            )
        return self.source.split(self._training_file, self._run.val_split)

    @property
    def _kind(self):
        """Return the name of the data set for data.prepare."""
        if self._run.classes is not None:
            return "imagenet"
        return self._run.dataset if self._run.dataset in list_datasets() else "folder"

    def _load(self, name):
        path = Path(self._run.data_dir) / name
        if not path.exists():
            raise InputError(
                f"there is no {path}: make it with python -m data.prepare {self._kind}, or name "
                "its folder with data_dir",
                argument="data_dir",
            )
        self._require_same_kind()
        return self.source.load(path)

    def _require_same_kind(self):
        """Raise an InputError if the folder of a user's own images has been prepared differently.

        The labels of its images then stand for other classes than those of the run, or the images
        have another size.
        """
        found = read_spec(self._run.data_dir) if self._spec else None
        if found is None:
            return
        for name, words in (("class_names", "classes"), ("size", "sizes")):
            if getattr(found, name) != getattr(self._spec, name):
                raise InputError(
                    f"{self._run.data_dir} has images of other {words} than the run: prepare its "
                    "own again, or name their folder with data_dir",
                    argument="data_dir",
                )


def _make_ahead(images, batches):
    """Return ``batches``, which a thread makes in advance unless a device makes them."""
    return batches if getattr(images, "on_device", None) else records.prefetch(batches)
