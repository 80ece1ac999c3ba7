"""The commands: `python -m pipelines.train` and so on."""
