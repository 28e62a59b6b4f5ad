"""Run `python predict.py`, which was `python -m training.predict` before."""

import runpy
import sys

if __name__ == "__main__":
    sys.stderr.write("python -m training.predict has a new name: python predict.py\n")
    runpy.run_module("predict", run_name="__main__", alter_sys=True)
