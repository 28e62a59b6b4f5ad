"""Trained parameters that come with the project, each file with a card that describes it."""
