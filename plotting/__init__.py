"""Draws the values it is given, and lays out tables; imports nothing of the project."""
