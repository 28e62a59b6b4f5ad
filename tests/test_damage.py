"""Damaged and forged files, hundreds of them; python -m tests.chaos does thousands."""

from collections import Counter

import pytest
from hypothesis import HealthCheck, given, settings

from tests import damage
from tests.damage import CASES, DAMAGE, FORGERY

# The same examples each time; none is slow, but machines are.
QUICK = settings(
    max_examples=40,
    deadline=None,
    derandomize=True,
    database=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture],
)


@pytest.mark.parametrize("name", CASES)
def test_damage_is_refused_or_leaves_the_meaning(tmp_path, name):
    case, found = CASES[name], Counter()
    path, written, content = damage.fresh(case, tmp_path / "files")

    @QUICK
    @given(DAMAGE)
    def check(changes):
        found[damage.outcome(case, path, written, damage.damaged(content, changes))] += 1

    check()
    assert found["refused"] > 10
    assert damage.outcome(case, path, written, content) == "accepted"


@pytest.mark.parametrize("name", damage.FORGED)
def test_forged_values_are_refused_or_shown(tmp_path, name):
    found, run = Counter(), damage.forgeable(tmp_path)

    @QUICK
    @given(FORGERY)
    def check(changes):
        found[damage.show_forged(run, name, changes)] += 1

    check()
    assert found["left out"] > 10
    assert damage.show_forged(run, name, []) == "shown"
