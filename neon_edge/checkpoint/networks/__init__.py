"""Upstream's trainable networks as our own torch modules, named as in its weight file."""
