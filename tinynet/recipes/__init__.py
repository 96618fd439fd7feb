"""Trainings to run (`tinynet train`) and to read: each is a network and the few lines that train it."""
