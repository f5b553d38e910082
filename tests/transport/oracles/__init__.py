"""Libraries that are not ours, compared with our codecs and emulators frame by frame."""
