"""Can VTK draw on this machine without a screen?"""

from __future__ import annotations

import os
import subprocess
import sys
from functools import cache

if sys.platform == "linux":
    # VTK tries an X server first and complains where there is none, unless it is told to take EGL.
    os.environ.setdefault("VTK_DEFAULT_OPENGL_WINDOW", "vtkEGLRenderWindow")

_DRAW_RED = """
import sys
import slicer
from vtkmodules.vtkRenderingCore import vtkRenderer, vtkRenderWindow, vtkWindowToImageFilter
import vtkmodules.vtkRenderingOpenGL2
window, renderer, image = vtkRenderWindow(), vtkRenderer(), vtkWindowToImageFilter()
window.SetOffScreenRendering(1)
window.SetSize(8, 8)
renderer.SetBackground(1, 0, 0)
window.AddRenderer(renderer)
window.Render()
image.SetInput(window)
image.ReadFrontBufferOff()
image.Update()
red = image.GetOutput().GetScalarComponentAsDouble(4, 4, 0, 0)
sys.exit(0 if red == 255 else 1)
"""
_PATIENCE_SECONDS = 60


@cache
def can_render() -> bool:
    """Tried in a process of its own: where EGL or Mesa is missing, VTK does not fail but crashes."""
    try:
        done = subprocess.run([sys.executable, "-c", _DRAW_RED], capture_output=True, timeout=_PATIENCE_SECONDS)
    except subprocess.TimeoutExpired:
        return False
    return done.returncode == 0
