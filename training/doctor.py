"""Run `python -m tools.doctor`, which was `python -m training.doctor` before."""

import runpy
import sys

if __name__ == "__main__":
    sys.stderr.write("python -m training.doctor has a new name: python -m tools.doctor\n")
    runpy.run_module("tools.doctor", run_name="__main__", alter_sys=True)
