"""Where the command line keeps imported and downloaded models. (In Slicer the panel says where.)"""

from __future__ import annotations

import os
from pathlib import Path

ENVIRONMENT = "TRANSFORMERSEG_MODELS"
"""The environment variable that names the folder."""


def models_folder() -> Path:
    """The folder that ``ENVIRONMENT`` names, else the one that this system keeps for a user's data."""
    if chosen := os.environ.get(ENVIRONMENT):
        return Path(chosen).expanduser()
    import platformdirs

    return Path(platformdirs.user_data_dir("transformerseg", appauthor=False)) / "models"
