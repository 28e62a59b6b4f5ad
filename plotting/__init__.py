"""Draw given values as pictures and tables; import nothing of the project."""

from plotting.claims import draw_claims
from plotting.confusion import draw_confusion
from plotting.curves import draw_curves, draw_subnetworks
from plotting.scaling import draw_scaling, varying_axes
from plotting.studies import draw_anytime, draw_early_exit, draw_lengths, draw_lesions, draw_members
from plotting.tables import TABLE_FORMATS, aligned, markdown

__all__ = [
    "TABLE_FORMATS",
    "aligned",
    "draw_anytime",
    "draw_claims",
    "draw_confusion",
    "draw_curves",
    "draw_early_exit",
    "draw_lengths",
    "draw_lesions",
    "draw_members",
    "draw_scaling",
    "draw_subnetworks",
    "markdown",
    "varying_axes",
]
