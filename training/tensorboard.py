"""A run's log as TensorBoard reads it."""

import time
from pathlib import Path

from command import InputError
from plotting.curves import KINDS, SUBNETWORKS

FOLDER = "tensorboard"
FILE = "events.out.tfevents.run"


class Board:
    """Writes a run's epochs to the folder ``tensorboard`` in its own.

    As records, not by tensorboardX's SummaryWriter, whose flush waits for nothing.
    """

    def __init__(self, folder, rows):
        """Begin anew with ``rows`` of the log: on resuming no epoch is there twice."""
        from tensorboardX.proto.event_pb2 import Event
        from tensorboardX.record_writer import RecordWriter

        folder = Path(folder) / FOLDER
        folder.mkdir(exist_ok=True)
        self._event = Event
        self._time = time.time() - sum(row["seconds"] for row in rows)
        self._writer = RecordWriter(str(folder / FILE))
        self._add(file_version="brain.Event:2")
        for row in rows:
            self.write(row)

    def write(self, row):
        """Add a row of the log, in the file when this returns."""
        self._time += row["seconds"]
        values = [{"tag": tag, "simple_value": value} for tag, value in scalars(row).items()]
        self._add(step=row["epoch"], summary={"value": values})

    def _add(self, **fields):
        event = self._event(wall_time=self._time, **fields)
        self._writer.write(event.SerializeToString())
        self._writer.flush()

    def close(self):
        """Write no more."""
        self._writer.close()


def require():
    """Make sure that there is tensorboardX.

    Raises:
        InputError: it is not installed.
    """
    try:
        import tensorboardX  # noqa: F401
    except ImportError:
        message = "--tensorboard needs tensorboardX, which is not there: pip install tensorboardX"
        raise InputError(message) from None


def scalars(row):
    """{tag: value} of a row of the log; TensorBoard draws what is equal up to the / together."""
    found = {name: row[name] for name in ("lr", "images_per_second")}
    for kind in KINDS:
        found.update({f"{kind}/{part}": row[f"{part}_{kind}"] for part in ("train", "test")})
    for part in SUBNETWORKS:
        for kind, name in (("error", f"{part}_errors"), ("loss", f"{part}_losses")):
            values = enumerate(row.get(name, ()))
            found.update({f"{part}_{kind}/{index}": value for index, value in values})
    return found
