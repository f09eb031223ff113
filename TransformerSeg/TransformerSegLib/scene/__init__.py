"""How MRML sees it: volume nodes in, segmentation nodes out."""
