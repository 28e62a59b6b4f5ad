"""Write a run's log in TensorBoard's format."""

import time
from pathlib import Path

from command import InputError
from plotting.curves import QUANTITIES, SUBNETWORKS

FOLDER = "tensorboard"
FILE = "events.out.tfevents.run"


class Board:
    """Write a run's epochs to the folder ``tensorboard`` in the run's folder.

    Records are written directly, because tensorboardX's SummaryWriter does not flush to the file.
    """

    def __init__(self, folder, rows, tested_on="test"):
        """Rewrite the file from ``rows`` of the log, so that resuming repeats no epoch.

        Args:
            tested_on: name of the images that were tested, for the tags: "test" or "held-out".
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
        """Add a row of the log, and flush it to the file."""
        self._time += row["seconds"]
        found = scalars(row, self._tested_on)
        values = [{"tag": tag, "simple_value": value} for tag, value in found.items()]
        self._add(step=row["epoch"], summary={"value": values})

    def _add(self, **fields):
        event = self._event(wall_time=self._time, **fields)
        self._writer.write(event.SerializeToString())
        self._writer.flush()

    def close(self):
        """Close the file."""
        self._writer.close()


def require():
    """Check that tensorboardX is installed.

    Raises:
        InputError: it is not installed.
    """
    try:
        import tensorboardX  # noqa: F401
    except ImportError:
        message = "tensorboard needs tensorboardX, which is not installed: pip install tensorboardX"
        raise InputError(message, argument="tensorboard") from None


def scalars(row, tested_on="test"):
    """Return ``{tag: value}`` of a row of the log.

    TensorBoard groups tags by the part before the /.
    """
    found = {name: row[name] for name in ("lr", "images_per_second")}
    for quantity in QUANTITIES:
        found[f"{quantity}/train"] = row[f"train_{quantity}"]
        found[f"{quantity}/{tested_on}"] = row[f"test_{quantity}"]
    if "test_top5_error" in row:  # of photographs
        found[f"top5_error/{tested_on}"] = row["test_top5_error"]
    for kind in SUBNETWORKS:
        for quantity, name in (("error", f"{kind}_errors"), ("loss", f"{kind}_losses")):
            values = enumerate(row.get(name, ()))
            found.update({f"{kind}_{quantity}/{index}": value for index, value in values})
    return found
