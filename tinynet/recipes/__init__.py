"""Whole trainings, to run (`tinynet train`) and to read: each module is a network and the few lines that
train it."""
