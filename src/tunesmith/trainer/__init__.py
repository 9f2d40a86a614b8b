"""The training process: `python -m tunesmith.trainer RUN_DIR`. Read the whole run in `run.py`.

The only package that imports torch, transformers and peft; nobody imports it. It knows no
database, no server and no settings: all it needs is in the run directory.
"""
