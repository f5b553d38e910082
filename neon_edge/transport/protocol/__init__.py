"""Pure codecs: values to bytes and back, one file a motor family. Nothing here opens a bus."""
