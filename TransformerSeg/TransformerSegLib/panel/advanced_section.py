"""Advanced: device, speed, surfaces. Closed until somebody needs it."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING

import qt
from slicer.i18n import tr as _

from TransformerSegLib.inference.data_size import data_size
from TransformerSegLib.inference.devices import AUTO
from TransformerSegLib.inference.presets import Preset
from TransformerSegLib.panel.loading import load_section

if TYPE_CHECKING:
    from TransformerSegLib.inference.devices import Device

_AT_REST_MS = 300
"""A slider that was not moved for so long is where it is wanted: surfaces take a while to build."""


class AdvancedSection:
    """What most people never open.

    Args:
        devices: gives the devices as far as they are known; asked when the section is opened.
        on_changed: called when a person chose another device or speed.
        on_surfaces: called when a person turned 3D on or off, or chose another smoothing while it is on.
    """

    def __init__(
        self,
        devices: Callable[[], Sequence[Device]],
        on_changed: Callable[[], None],
        on_surfaces: Callable[[], None],
    ) -> None:
        self.widget, self._ui = load_section("Advanced")
        self._devices, self._on_changed = devices, on_changed
        self._filling = False
        self._automatic = ""
        self._refused: dict[Preset, str] | None = None
        self.offer({})
        self.list_devices()
        self._ui.deviceBox.connect("currentIndexChanged(int)", self._on_index)
        self._ui.presetBox.connect("currentIndexChanged(int)", self._on_index)
        self._smoothed = qt.QTimer()
        self._smoothed.setSingleShot(True)
        self._smoothed.setInterval(_AT_REST_MS)
        self._smoothed.connect("timeout()", on_surfaces)
        self._ui.surfacesBox.connect("clicked(bool)", lambda checked: on_surfaces())
        self._ui.smoothingSlider.connect("valueChanged(double)", lambda value: self._on_smoothing())
        self._ui.advancedCollapsibleButton.connect("contentsCollapsed(bool)", self._on_fold)

    @property
    def device(self) -> str:
        return str(self._ui.deviceBox.currentData)

    @property
    def preset(self) -> Preset:
        return Preset(self._ui.presetBox.currentData)

    def offer(self, refused: Mapping[Preset, str]) -> None:
        """List the presets, without those that are refused; the tooltip says why. Where the chosen one is refused, the
        standard one takes its place.

        Args:
            refused: preset → why, as a sentence without its full stop.
        """
        if refused == self._refused:
            return
        chosen = self._ui.presetBox.currentData if self._ui.presetBox.count else Preset.STANDARD.value
        self._refused, self._filling = dict(refused), True
        self._ui.presetBox.clear()
        for preset in Preset:
            if preset not in refused:
                self._ui.presetBox.addItem(_(preset.title), preset.value)
        self._ui.presetBox.currentIndex = max(self._ui.presetBox.findData(chosen), 0)
        self._ui.presetBox.toolTip = "\n".join(
            [_("How fast, and how thorough."), *map(_refused_words, refused.items())]
        )
        self._filling = False

    def close(self) -> None:
        """Let go of the timer."""
        self._smoothed.stop()

    def show(self, device: str, preset: Preset) -> None:
        """Select these, without telling anybody. A device that this computer lacks is listed as such."""
        self._filling = True
        if self._ui.deviceBox.findData(device) < 0:
            self._ui.deviceBox.addItem(_("{device} (not found)").format(device=device), device)
        self._ui.deviceBox.currentIndex = self._ui.deviceBox.findData(device)
        self._ui.presetBox.currentIndex = max(self._ui.presetBox.findData(preset.value), 0)
        self._filling = False
        self._explain()

    def update_devices(self) -> None:
        """List the devices again, if they can be seen: with the first run, more of them become known."""
        if not self._ui.advancedCollapsibleButton.collapsed:
            self.list_devices()

    def list_devices(self) -> None:
        """Ask again what there is, and how much memory is free."""
        chosen = self.device if self._ui.deviceBox.count else AUTO
        devices = self._devices()
        self._automatic = _automatic_words(devices)
        self._filling = True
        self._ui.deviceBox.clear()
        self._ui.deviceBox.addItem(_("Automatic"), AUTO)
        for device in devices:
            self._ui.deviceBox.addItem(_device_words(device), device.name)
        self._filling = False
        self.show(chosen, self.preset)

    def _on_smoothing(self) -> None:
        if self._ui.surfacesBox.checked:
            self._smoothed.start()

    def _on_fold(self, collapsed: bool) -> None:
        self.update_devices()

    def _on_index(self, index: int) -> None:
        if not self._filling:
            self._explain()
            self._on_changed()

    def _explain(self) -> None:
        self._ui.presetHint.text = _(self.preset.explanation)
        self._ui.deviceHint.visible = self.device == AUTO
        self._ui.deviceHint.text = self._automatic


def _refused_words(refused: tuple[Preset, str]) -> str:
    preset, why = refused
    return _("“{preset}” is not offered: {why}.").format(preset=_(preset.title), why=_(why))


def _device_words(device: Device) -> str:
    if device.free_bytes is None:
        return device.title
    return _("{device}, {memory} free").format(device=device.title, memory=data_size(device.free_bytes))


def _automatic_words(devices: Sequence[Device]) -> str:
    """What "Automatic" means; before PyTorch is loaded, graphics cards are not known.

    Args:
        devices: fastest first.
    """
    if "torch" not in sys.modules:
        return _("A graphics card, where there is one: listed here after the first run, which loads PyTorch.")
    return _("Now: {device}.").format(device=_device_words(devices[0]))
