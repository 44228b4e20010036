"""Datasets of others, read one episode at a time and written as ours: LeRobot v2.1 and v3, HDF5, zarr, RLDS, MCAP."""
