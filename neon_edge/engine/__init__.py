"""What runs a compiled network: one contract, three implementations, plans and their manifests."""
