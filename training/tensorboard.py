"""A run's log as TensorBoard reads it."""

import time
from pathlib import Path

from command import InputError
from plotting.curves import QUANTITIES, SUBNETWORKS

FOLDER = "tensorboard"
FILE = "events.out.tfevents.run"


class Board:
    """Writes a run's epochs to the folder ``tensorboard`` in its own.

    As records, not by tensorboardX's SummaryWriter, whose flush waits for nothing.
    """

    def __init__(self, folder, rows, tested_on="test"):
        """Write the file again from ``rows`` of the log: on resuming no epoch is there twice.

        Args:
            tested_on: what the images of the test errors are called; a part of the tags.
        """
        from tensorboardX.proto.event_pb2 import Event
        from tensorboardX.record_writer import RecordWriter

        folder = Path(folder) / FOLDER
        folder.mkdir(exist_ok=True)
        self._event, self._tested_on = Event, tested_on
        self._time = time.time() - sum(row["seconds"] for row in rows)
        self._writer = RecordWriter(str(folder / FILE))
        self._add(file_version="brain.Event:2")
        for row in rows:
            self.write(row)

    def write(self, row):
        """Add a row of the log, in the file when this returns."""
        self._time += row["seconds"]
        found = scalars(row, self._tested_on)
        values = [{"tag": tag, "simple_value": value} for tag, value in found.items()]
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
        message = "tensorboard needs tensorboardX, which is not there: pip install tensorboardX"
        raise InputError(message, argument="tensorboard") from None


def scalars(row, tested_on="test"):
    """Return ``{tag: value}`` of a row of the log.

    TensorBoard draws together what is equal up to the /.
    """
    found = {name: row[name] for name in ("lr", "images_per_second")}
    for quantity in QUANTITIES:
        found[f"{quantity}/train"] = row[f"train_{quantity}"]
        found[f"{quantity}/{tested_on}"] = row[f"test_{quantity}"]
    for kind in SUBNETWORKS:
        for quantity, name in (("error", f"{kind}_errors"), ("loss", f"{kind}_losses")):
            values = enumerate(row.get(name, ()))
            found.update({f"{kind}_{quantity}/{index}": value for index, value in values})
    return found
