"""Renderings of a verdict. They show what the verdict holds and decide nothing."""
