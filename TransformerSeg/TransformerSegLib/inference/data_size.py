"""Amounts of data as people read them."""


def data_size(size: float) -> str:
    """ "16 MB", "1.2 GB", from bytes."""
    if size >= 999.5e6:
        return f"{size / 1e9:.1f} GB"
    return f"{max(1, round(size / 1e6))} MB"
