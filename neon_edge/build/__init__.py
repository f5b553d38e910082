"""Recipe → export → compile → verify: what turns a checkpoint and a backbone into plans."""
