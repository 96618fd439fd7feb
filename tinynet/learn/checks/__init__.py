"""The exercises of the lessons, a file for each: a reference solution, and the properties of a right answer."""
