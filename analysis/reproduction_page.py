"""Write the page of reproduction, docs/REPRODUCTION.md, from the runs in a folder."""

import os
from pathlib import Path
from typing import List, Union

from analysis.claims import CLAIMS, Setting, require_scale
from analysis.costs import SPEEDS, list_missing, tabulate_costs
from analysis.paths import compare_path_lengths
from analysis.reproduction import judge, list_ended, summarize, tabulate_judgements
from plotting.tables import markdown
from training.recipe import differences
from training.run_folder import read_config

VERDICT = ("claim", "found (95% interval)", "claimed", "verdict")  # columns of the first table
TEST = ("effect", "the paper", "source", "runs")  # and of the second
RESULT = ("run", "setting", "seed", "epochs", "train error %", "test error %", "columns %")
MACHINE = ("dtype", "engine", "threads", "processor")  # of config.json, when the run began

PICTURE = """![The effect of each claim, with its 95% interval, and where the claim says that it is](claims.png)

*The effects; `python reproduce.py --plot docs/claims.png` draws this picture. The scale is linear from -1 to +1, and logarithmic beyond. A
claim is supported if its whole interval is in the shaded part. Effects of one seed have no interval.*

"""  # noqa: E501

PAGE = """# Reproduction

This page says which of the papers' claims have been tested here, by which rules, and what is missing. `python reproduce.py --markdown`
prints it. Two of the claims are not the papers': they answer the question whether columns are worse on their own after local than after
mixed drop-path. Some comparisons of deeply-fused networks are only implied by their project's page. The column "source" below has the
origin of each claim.

**{state}**

The runs that come with the project reproduce none of the papers' results: the papers train for up to 400 epochs on GPUs, these runs for 13
to 30 epochs, most of them on CPUs. The lengths of paths need no training and are exact. The results of all runs are in
[training.md](training.md#results), [fractalnet.md](fractalnet.md#measured-here-fifteen-epochs-on-cifar-10) and
[imagenet.md](imagenet.md#measured-here-396-photographs).

## Verdicts

These are the verdicts at the scale `{scale}` ([explained below](#how-it-works)). Most effects are differences of test errors after the last
epoch, in percentage points. The column "claimed" has the number below which the effect must be.
[How each claim is tested](#how-each-claim-is-tested) has the statistic, the paper's results and the runs of each claim.

{picture}{verdicts}

## Lengths of paths

Mean and standard deviation of the number of weight layers on a random path, at depth 38 ([more](ensembling.md#path-lengths)):

{lengths}

## How it works

```sh
python reproduce.py                                   # every claim, its effect and its verdict
python reproduce.py --summary                         # how many claims have each verdict, and the claims with an effect
python reproduce.py --plot claims.png                 # a picture of the effects
python reproduce.py --markdown                        # this page
python reproduce.py --train --hours 3 --threads 1     # train missing runs, resume unfinished ones
python reproduce.py --scale paper                     # with the papers' recipes, which need a GPU
python -m tools.publish snapshot                      # copy finished runs into snapshot/, without local folders and names of machines
```

| scale | recipes | seeds | what it tests |
|---|---|---|---|
| `paper` | the papers' recipes; where a claim quotes results of a paper, the networks and settings of these results | 5 | the papers' claims and results |
| `cpu` | `fast-sgd`, `fractal-fast-sgd` and `fractal-plain-fast-sgd`: 15 epochs on CIFAR-10 | 3 | whether a claim holds at this scale; its errors are never the papers' results |

`--train` trains the missing runs at the lowest process priority, the most informative runs first. Several processes can do this at the same
time. After Ctrl-C, only the unfinished epoch is lost. Runs count as missing if there are none on the images that you have: on the original
CIFAR-10, all are, because the runs that come with the project were trained on [JPEG copies](training.md#results).

## Rules

The rules are code, in `analysis/claims.py`, and were written before the runs were made. Two were changed later, when no effect could be
computed yet for any of their claims: how the strongest rival of the deepest member is chosen, and the threshold of 10 points in the claim
that drop-path makes columns usable.

- An effect is a mean over seeds, in percentage points, or in nats if it is a difference of training losses. Its 95% interval is Student's
  t interval, or Welch's for two groups of runs.
- A claim says that its effect is below a number. It is *supported* if the whole interval is below this number, *contradicted* if the whole
  interval is above it, and *undecided* otherwise, in particular with fewer than two runs of each setting.
- A finished run counts if it was trained in float32 on all training images, on one device, from random initial values, and tested on the
  test set. Of runs with the same seed, the newest counts; a published run counts only where there is no other. No seed is left out.
- If a run of a setting diverged, all claims about this setting are undecided, because the mean of the other runs would be too good. This
  also holds for diverged runs that finished with `--on-divergence continue`. The column "runs" has the number of diverged runs.
- Runs without the results that a claim needs, such as those of members, do not count for it. The column "runs" has their number, too.
- The contribution of a member is the error of the ensemble without it. The deepest member is compared with its strongest rival: in each
  run, the other member whose removal costs most on average in the runs of the other seeds. (The other seeds choose the rival, because the
  largest of many errors in a single run is large by chance.)
- For each claim, only runs on the same version of the images are compared, such as the original pixels or JPEG copies. If there are several
  versions, the runs of the setting that has the fewest are counted on each, and the version with the largest number is used; of two such
  versions, the one with more runs of your own.

## How each claim is tested

The numbers of the claims are those above. The column "the paper" has the results that the paper prints for its own recipe. The column
"runs" has the settings that a claim compares, each with its number of runs.

{tests}

## Runs

The column "columns %" has the errors of a FractalNet's columns, the shallowest first, and "images" the checksum of the training images.
Engine, threads and processor are those with which a run began; some were resumed on another machine or with more threads.

{runs}

## What could not be tested, and what it would take

Hours are for training only, and are computed from the measured speeds below. The two CPU cores are those of a Xeon with AVX-512; other
processors can be much slower. Multiply-adds are those of the forward passes, as if every step computed the whole network. The last column says whether the network's own speed was
measured. Otherwise, it is estimated from the measured network of the same kind that is most similar in multiply-adds. The speed of
fractal 20 was measured with mixed drop-path, which trains a single column in half of the steps. With local drop-path, training takes 1.45
times as long, and without drop-path 1.8 times: with one thread of an EPYC, the published runs without augmentation trained at 395, 270 and
219 images per second. The tables take this into account. The speed of cross_imagenet 50 is twice the measured speed of one thread.

{speeds}

At the scale `cpu`:

{cpu}

At the scale `paper`, and the papers' largest networks:

{paper}

Float32, which the claims need, is slower on a GPU than TF32; its speed was not measured for a run that has the GPU to itself. Speeds that
are added to `SPEEDS` in `analysis/costs.py` become a column of these tables. A lower bound for 400 epochs of DFN-MR1: training needs three
times the multiply-adds of the forward passes, which are 3e16 operations, and, if nothing is fused, some 30 MB of memory traffic for each
image. At the memory bandwidth of an H200, this takes about two minutes; at the speed that was measured in
bfloat16, it would take [45 minutes](benchmarks.md#on-a-gpu).
"""  # noqa: E501


def make_page(folder: Union[str, Path], scale: str) -> str:
    """Return the page as Markdown, by the finished runs at or below ``folder``.

    Args:
        scale: of the verdicts; one of analysis.claims.SCALES.

    Raises:
        InputError: there is no such scale.
    """
    require_scale(scale)
    records = list_ended(folder)
    judgements = [judge(claim, scale, records) for claim in CLAIMS]
    judgements.sort(key=lambda each: each.effect is None)  # claims with an effect come first
    counted = {path for each in judgements for path in each.folders}
    shown = [record for record in records if str(record.folder) in counted]
    speeds = [["network", "images/s", "device", "measured in"]]
    for s in SPEEDS:
        cells = [_name(s), f"{s.images_per_second:g}", s.device, f"[{s.source}]({s.source})"]
        speeds.append(cells)
    return PAGE.format(
        state=summarize(judgements),
        scale=scale,
        picture=PICTURE if any(each.effect is not None for each in judgements) else "",
        verdicts=_tabulate(judgements, VERDICT),
        tests=_tabulate(judgements, TEST),
        lengths=markdown(_tabulate_lengths()),
        runs="\n\n".join(_describe_runs(shown)) or "No run is there yet.",
        speeds=markdown(speeds),
        cpu=_show_costs(records, "cpu"),
        paper=_show_costs(records, "paper"),
    )


def _tabulate(judgements, columns):
    """Return these columns of the table of Judgements as Markdown, after the claims' numbers."""
    head, *rows = tabulate_judgements(judgements)
    places = [head.index(name) for name in columns]
    numbered = ([str(number), *(row[p] for p in places)] for number, row in enumerate(rows, 1))
    return markdown([["no.", *columns], *numbered])


def _tabulate_lengths():
    rows = [["network", "random paths, exact", "the paper's formula"]]
    for network, pairs in compare_path_lengths().items():
        rows.append([network, *("{:.2f} ± {:.2f}".format(*pair) for pair in pairs)])
    return rows


def _describe_runs(records) -> List[str]:
    """Return a table of the runs that count, and the curves of the first run of each setting."""
    rows = [[*RESULT, "images", *MACHINE]]
    pictures, seen = [], set()
    for record in records:
        run, config = record.run, read_config(record.folder)
        checksum = record.info.images("train").get("crc32")
        images = f"CRC-32 {checksum:08x}" if isinstance(checksum, int) else "-"
        setting = _name_setting(run)
        cells = [f"`{record.folder}`", setting, str(run.seed), *_show_errors(record)]
        rows.append([*cells, images, *_describe_machine(config)])
        picture = record.folder / "curves.png"
        if setting not in seen and picture.exists():
            seen.add(setting)
            pictures.append(f"![{setting}: error and loss over epochs]({_link(picture)})")
            pictures.append(f"*{setting}, seed {run.seed}: error, loss and learning rate.*")
    return [markdown(rows), *pictures] if records else []


def _describe_machine(config):
    """Return the cells of MACHINE; PyTorch's GPUs follow the processor if the run began on them."""
    parts = (config.get(name) for name in ("machine", "versions"))
    begun, versions = (part if isinstance(part, dict) else {} for part in parts)
    known = {**config, **begun}
    cells = [str(known.get(name, "-")) for name in MACHINE]
    if versions.get("gpus") and known.get("engine") == "torch" and known.get("gpus") != "cpu":
        cells[-1] += f", {versions['gpus']}"
    return cells


def _name_setting(run):
    """Return the setting of a run in words, without its seed."""
    changes = tuple(differences(run.recipe, run.recipe_name).items())
    named = run.network, run.depth, run.recipe_name
    return str(Setting(*named, changes, run.dataset, run.widen_factor))


def _show_errors(record):
    """Return the last epoch of a run and its errors, as cells."""
    last = record.rows[-1] if record.rows else {"epoch": 0}
    if record.diverged:
        return [str(last["epoch"]), "-", "diverged", "-"]
    columns = ", ".join(f"{error:.2f}" for error in last.get("column_errors", ()))
    errors = [f"{last[name]:.2f}" for name in ("train_error", "test_error")]
    return [str(last["epoch"]), *errors, columns or "-"]


def _link(path):
    return Path(os.path.relpath(path, "docs")).as_posix()


def _show_costs(records, scale):
    costs = list_missing(records, scale)
    return markdown(tabulate_costs(costs)) if costs else "Nothing is missing."


def _name(speed):
    width = f" w{speed.widen_factor}" if speed.widen_factor != 1 else ""
    return f"{speed.network} {speed.depth}{width}"
