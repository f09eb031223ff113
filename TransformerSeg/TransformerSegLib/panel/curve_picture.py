"""The learning curve, as large as there is room for."""

from __future__ import annotations

from pathlib import Path

import qt

HEIGHT = 230
"""Pixels: about that of the picture in a panel of the usual width. It stays: the panel must not jump."""


class CurvePicture(qt.QLabel):
    """Shows a picture that another process redraws, in its own proportions."""

    def __init__(self) -> None:
        super().__init__()
        self._picture: qt.QPixmap | None = None
        self._drawn: tuple[str, int] | None = None
        self.objectName = "curveLabel"
        self.setSizePolicy(qt.QSizePolicy.Ignored, qt.QSizePolicy.Fixed)
        self.setFixedHeight(HEIGHT)
        self.alignment = qt.Qt.AlignCenter
        self.visible = False

    def show_file(self, path: Path) -> None:
        """The picture as it is now; nothing is shown where there is none."""
        try:
            drawn = (str(path), path.stat().st_mtime_ns)
        except OSError:
            self._drawn = self._picture = None
            self.visible = False
            return
        if drawn == self._drawn:
            return
        picture = qt.QPixmap(str(path))
        if not picture.isNull():
            self._drawn, self._picture = drawn, picture
            self.visible = True
            self._fit()

    def resizeEvent(self, event: qt.QResizeEvent) -> None:  # noqa: N802
        """Called by Qt when the panel's width changed."""
        self._fit()

    def _fit(self) -> None:
        if self._picture is not None and self.width > 0:
            self.setPixmap(self._picture.scaled(self.width, HEIGHT, qt.Qt.KeepAspectRatio, qt.Qt.SmoothTransformation))
