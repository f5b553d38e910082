"""Stage 4: what a head wants → what a motor may be told. The only maker of `JointCommand`."""
