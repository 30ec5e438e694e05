"""Trains draft heads for flowmesh: see ../README.md."""
