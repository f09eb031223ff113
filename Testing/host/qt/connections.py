"""``sender.connect("clicked(bool)", function)``: connections by a signal's written name."""

from __future__ import annotations

from weakref import WeakKeyDictionary

from host.qt.native import QtCore

_bare_calls: WeakKeyDictionary = WeakKeyDictionary()


def connect(sender: QtCore.QObject, signature: str, receiver, slot: str | None = None) -> bool:
    """Connect a signal, written as in C++, with a callable, or with the slot ``slot`` of a Qt object.

    Raises:
        AttributeError: There is no such signal. (PythonQt answers False, and goes on.)
        TypeError: The receiver cannot be called.
    """
    signal, target = _ends(sender, signature, receiver, slot)
    signal.connect(target)
    return True


def disconnect(sender: QtCore.QObject, signature: str, receiver=None, slot: str | None = None) -> bool:
    """Take a connection back; without a receiver, all of that signal."""
    if receiver is None:
        find_signal(sender, signature).disconnect()
    else:
        signal, target = _ends(sender, signature, receiver, slot)
        signal.disconnect(target)
    return True


def find_signal(sender: QtCore.QObject, signature: str) -> QtCore.SignalInstance:
    """Raises AttributeError if the sender has no signal that is written like this."""
    name = signature.split("(")[0]
    known = _signatures(sender, name)
    if signature.replace(" ", "") not in known:
        raise AttributeError(f"{type(sender).__name__} has no signal '{signature}', only {sorted(known) or 'others'}.")
    return getattr(sender, name)


def _ends(sender: QtCore.QObject, signature: str, receiver, slot: str | None):
    signal = find_signal(sender, signature)
    target = receiver if slot is None else getattr(receiver, slot.split("(")[0])
    if not callable(target):
        raise TypeError(f"'{signature}' cannot call {target!r}.")
    if signature.endswith("()"):
        target = _bare_call(sender, signature, target)
    return signal, target


def _bare_call(sender: QtCore.QObject, signature: str, target):
    """``clicked()`` calls without arguments what ``clicked(bool)`` would give one; the same object each time it is
    asked for, so that it can be disconnected."""
    known = _bare_calls.setdefault(sender, {})

    def call(*_arguments) -> None:
        target()

    return known.setdefault((signature, target), call)


def _signatures(sender: QtCore.QObject, name: str) -> set[str]:
    """As Qt knows them, or, of a stand-in for a C++ class, as that class declares them in ``SIGNALS``."""
    declared = {signal for cls in type(sender).__mro__ for signal in cls.__dict__.get("SIGNALS", ())}
    return {signal for signal in declared if signal.startswith(f"{name}(")} or _native_signatures(sender, name)


def _native_signatures(sender: QtCore.QObject, name: str) -> set[str]:
    meta = sender.metaObject()
    methods = (meta.method(index) for index in range(meta.methodCount()))
    return {
        bytes(method.methodSignature()).decode()
        for method in methods
        if method.methodType() == QtCore.QMetaMethod.Signal and bytes(method.name()).decode() == name
    }
