"""Which official trainer wrote a checkpoint: told from the names and shapes of its tensors, one file a network."""
