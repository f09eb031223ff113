"""Which network: the architectures, behind one registry."""
