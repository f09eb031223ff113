"""Transformer segmentation of CT and MR volumes: the library behind the 3D Slicer extension TransformerSeg.

Importing this package, or any of its modules, loads neither torch nor monai; the functions that compute do.
"""

__version__ = "0.1.0"
