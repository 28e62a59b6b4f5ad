"""Run `python -m tools.launch`, which was `python -m training.launch` before."""

import runpy
import sys

if __name__ == "__main__":
    sys.stderr.write("python -m training.launch has a new name: python -m tools.launch\n")
    runpy.run_module("tools.launch", run_name="__main__", alter_sys=True)
