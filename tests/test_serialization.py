from dataclasses import dataclass
from fractions import Fraction
from typing import Optional, Tuple

import pytest

from command import InputError
from training.serialization import from_plain


@dataclass(frozen=True)
class Thing:
    count: int
    share: float
    name: Optional[str]
    steps: Tuple[Fraction, ...]


GOOD = {"count": 1, "share": 0.5, "name": None, "steps": ()}


def test_values_of_the_right_types_make_the_dataclass():
    assert from_plain(Thing, {**GOOD, "more": 3}) == Thing(1, 0.5, None, ())
    assert from_plain(Thing, {**GOOD, "name": "x"}).name == "x"


@pytest.mark.parametrize(
    "values,message",
    [
        ({**GOOD, "count": "1"}, "count cannot be '1'"),
        ({**GOOD, "count": True}, "count cannot be True"),
        ({**GOOD, "share": None}, "share cannot be None"),
        ({**GOOD, "name": 3}, "name cannot be 3"),
        ({**GOOD, "steps": []}, r"steps cannot be \[\]"),
        ({"count": 1, "share": 0.5}, "settings are missing: name, steps"),
        (None, "settings of the thing are missing"),
        ([], "settings of the thing are missing"),
    ],
)
def test_others_are_refused_by_name(values, message):
    with pytest.raises(InputError, match=message):
        from_plain(Thing, values)
