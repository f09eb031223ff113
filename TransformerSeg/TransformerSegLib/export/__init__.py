"""How a segmentation leaves: files that other programs read."""
