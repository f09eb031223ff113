"""How voxels become labels: reading, checks, preparation, sliding window, restoring."""
