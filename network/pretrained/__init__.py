"""Trained parameters that are part of the project; a card describes each file."""
