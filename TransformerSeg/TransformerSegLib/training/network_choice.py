"""What a user chooses for a new network."""

from __future__ import annotations

from enum import Enum


class NetworkChoice(Enum):
    """What ``--network`` takes."""

    SWIN_UNETR = "swin-unetr"
    UNETR = "unetr"
    SWIN_UNET = "swin-unet"
    TRANSUNET = "transunet"
    UNEST = "unest"
    UNETR_TAMASINO52 = "unetr-tamasino52"


class Preparation(Enum):
    """What ``--recipe`` takes."""

    GENERAL = "general"
    BRATS = "brats"
