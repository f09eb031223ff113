"""Which trained model: MONAI bundles, read as data."""
