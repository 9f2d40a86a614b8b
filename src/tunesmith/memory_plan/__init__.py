"""Memory that a training will take, told before it starts. Imports no torch."""
