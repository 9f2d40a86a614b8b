"""Faster, leaner ways to compute what transformers and peft compute; each has a plain twin.

`layers` puts them together for LLaMA-like models, `backend` brings packed attention to others.
Whether a model computes the same with them is tried at the start of each run (`forward`).
"""
