"""Our own offscreen renderer over (MjModel, MjData): no shadows, no multisampling, no reflections.

The three switches make a frame 5 to 14 times cheaper than MuJoCo's defaults on a CPU. The window system is chosen once
per process, EGL before OSMesa unless `MUJOCO_GL` says otherwise, and `backend()` says which. A driver's threads don't
survive a fork: nothing is drawn before a picture is asked for, and a process forked after that is refused.
"""

import atexit
import ctypes
import importlib
import logging
import os
import sys
import threading
import weakref
from collections.abc import Sequence
from functools import cache
from typing import Any, Literal

import numpy as np

from dualsys.errors import RenderingError
from dualsys.messages import ImageArray

Backend = Literal["egl", "osmesa"]

APT_HINT = (
    "install EGL with: apt-get install -y libegl1 libgl1 "
    "(or, in a container without /dev: apt-get install -y libosmesa6)"
)

_LOGGER = logging.getLogger(__name__)

_EGL_PLATFORM_DEVICE = 0x313F

_lock = threading.RLock()
_drawn_in: set[int] = set()  # processes: this one, or one that it was forked from
_inherited: list[Any] = []  # what a forked process must never free: the driver would wait for threads it hasn't


def backend() -> Backend:
    """The window system this process renders with, chosen and tried on the first call.

    Raises `RenderingError` with the command that installs one where neither EGL nor OSMesa works.
    """
    with _lock:
        return _choose()[0]


def import_drawing(name: str) -> Any:
    """Import a package that loads a window system as it is imported: ours, and nothing is drawn with it yet.

    Raises `RenderingError` where that is what the import failed of.
    """
    os.environ.setdefault("LP_NUM_THREADS", "1")
    if "MUJOCO_GL" not in os.environ:
        os.environ["MUJOCO_GL"] = _name()
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError:
        raise
    except Exception:  # PyOpenGL fails in many ways where a library is missing
        backend()
        raise


@cache
def _name() -> Backend:
    """The window system to render with, not yet tried."""
    os.environ.setdefault("LP_NUM_THREADS", "1")  # llvmpipe: more threads don't help small frames, and steal cores
    asked = _asked()
    if asked in ("disable", "disabled", "off", "false", "0"):
        raise RenderingError(f"rendering is switched off by MUJOCO_GL={asked}; unset it or set it to egl or osmesa")
    name: Backend = "egl" if asked != "osmesa" and _egl_has_display() else "osmesa"
    if asked == "egl" and name != "egl":
        raise RenderingError(f"MUJOCO_GL=egl, but EGL is not installed or finds no display here. {APT_HINT}")
    if name == "osmesa" and asked != "osmesa":
        _LOGGER.info("EGL finds no display here: rendering with OSMesa")
    return name


def _asked() -> str:
    return os.environ.get("MUJOCO_GL", "").strip().lower()


@cache  # one choice per process, as PyOpenGL binds to one platform; a failure is not kept
def _choose() -> tuple[Backend, Any]:
    """The window system and the class of its windows."""
    name = _name()
    mujoco = import_mujoco()
    if "OpenGL" not in sys.modules:
        os.environ["PYOPENGL_PLATFORM"] = name
    _drawn_in.add(os.getpid())
    try:
        context_class = importlib.import_module(f"mujoco.{name}").GLContext
        window = context_class(16, 16)
        window.make_current()
        mujoco.MjrContext(mujoco.MjModel.from_xml_string("<mujoco/>"), mujoco.mjtFontScale.mjFONTSCALE_100).free()
        window.free()
    except Exception as error:  # PyOpenGL and drivers fail in many ways; all mean: not here
        why = f"{type(error).__name__}: {error}"
        tried = "OSMesa, as EGL finds no display" if name == "osmesa" and _asked() != "osmesa" else name
        raise RenderingError(f"MuJoCo cannot render here with {tried} ({why}). {APT_HINT}") from error
    return name, context_class


def _egl_has_display() -> bool:
    """Whether EGL is installed with a device that initialises.

    Asked without PyOpenGL, which would bind this process to EGL and leave OSMesa no chance.
    """
    try:
        egl = ctypes.CDLL("libEGL.so.1")
    except OSError:
        return False
    egl.eglGetProcAddress.restype = ctypes.c_void_p
    query_address = egl.eglGetProcAddress(b"eglQueryDevicesEXT")
    display_address = egl.eglGetProcAddress(b"eglGetPlatformDisplayEXT")
    if not query_address or not display_address:
        return False
    pointer, integer = ctypes.c_void_p, ctypes.c_int
    query = ctypes.CFUNCTYPE(ctypes.c_uint, integer, pointer, ctypes.POINTER(integer))(query_address)
    get_display = ctypes.CFUNCTYPE(pointer, ctypes.c_uint, pointer, pointer)(display_address)
    egl.eglInitialize.argtypes = (pointer, pointer, pointer)
    devices, count = (pointer * 16)(), integer(0)
    if not query(16, ctypes.cast(devices, pointer), ctypes.byref(count)):
        return False
    displays = [get_display(_EGL_PLATFORM_DEVICE, device, None) for device in devices[: count.value]]
    return any(display and egl.eglInitialize(display, None, None) for display in displays)


def import_mujoco() -> Any:
    """MuJoCo, which on import already loads the window system that `MUJOCO_GL` names.

    Raises `RenderingError` where that one is not installed.
    """
    asked = os.environ.get("MUJOCO_GL", "")
    try:
        return importlib.import_module("mujoco")
    except ModuleNotFoundError:
        raise
    except Exception as error:  # PyOpenGL fails in many ways where a library is missing
        if not asked:
            raise
        raise RenderingError(
            f"MuJoCo cannot be imported with MUJOCO_GL={asked} ({type(error).__name__}: {error}). "
            f"Unset MUJOCO_GL, or {APT_HINT}"
        ) from error


class _Context:
    """A GL context with a model's meshes and textures in it. Belongs to the thread that made it."""

    def __init__(self, model: Any, *, height: int, width: int) -> None:
        mujoco = import_mujoco()
        self._window: Any = None
        self.resources: Any = None
        with _lock:
            _, context_class = _choose()
        model.vis.quality.shadowsize = 0
        model.vis.quality.offsamples = 0
        model.vis.global_.offwidth = max(model.vis.global_.offwidth, width)
        model.vis.global_.offheight = max(model.vis.global_.offheight, height)
        self._owner, self._process = threading.get_ident(), os.getpid()
        self._window = context_class(width, height)
        _live_contexts.add(self)
        atexit.unregister(_free_contexts)  # registered last, it runs first: before the display's own handler
        atexit.register(_free_contexts)
        self._window.make_current()
        self.resources = mujoco.MjrContext(model, mujoco.mjtFontScale.mjFONTSCALE_100)
        mujoco.mjr_setBuffer(mujoco.mjtFramebuffer.mjFB_OFFSCREEN, self.resources)

    def make_current(self) -> None:
        """Before every use: the thread may have used another context in between."""
        self._window.make_current()

    def free(self) -> None:
        """Idempotent. From another thread than the owner's, the driver frees what the context holds."""
        if self._window is None:
            return
        if self._process != os.getpid():
            _inherited.append((self._window, self.resources))
            self._window = None
            return
        if self.resources is not None and threading.get_ident() == self._owner:
            self._window.make_current()
            self.resources.free()
        self._window.free()
        self._window = None

    def __del__(self) -> None:
        """A context that is freed after the display prints an error at exit."""
        self.free()


_live_contexts: weakref.WeakSet[_Context] = weakref.WeakSet()


def _free_contexts() -> None:
    for context in list(_live_contexts):
        context.free()


class _OfThread(threading.local):
    """Each thread's own context."""

    context: _Context | None = None


class Renderer:
    """Renders one model at one size. Any thread may call it; each pays once for a GL context of its own."""

    def __init__(self, model: Any, *, height: int, width: int, hidden_groups: Sequence[int] = ()) -> None:
        """`height` and `width` in pixels; geoms of `hidden_groups` aren't drawn. Nothing is drawn or tried yet."""
        self._mujoco = mujoco = import_mujoco()
        self._model = model
        self._rectangle = mujoco.MjrRect(0, 0, width, height)
        self._scene = mujoco.MjvScene(model, maxgeom=2000)
        self._scene.flags[mujoco.mjtRndFlag.mjRND_SHADOW] = 0
        self._scene.flags[mujoco.mjtRndFlag.mjRND_REFLECTION] = 0
        self._option = mujoco.MjvOption()
        for group in hidden_groups:
            self._option.geomgroup[group] = 0
        self._camera = mujoco.MjvCamera()
        self._camera.type = mujoco.mjtCamera.mjCAMERA_FIXED
        self._buffer = np.empty((height, width, 3), np.uint8)
        self._here = _OfThread()
        self._lock = threading.Lock()

    def render(self, data: Any, camera: str) -> ImageArray:
        """`(height, width, 3)` uint8 RGB from a named camera; the array is the caller's own.

        Raises `RenderingError` where the machine cannot render.
        """
        mujoco = self._mujoco
        with self._lock:
            context = self._context()
            self._camera.fixedcamid = self._model.camera(camera).id
            everything = mujoco.mjtCatBit.mjCAT_ALL
            mujoco.mjv_updateScene(self._model, data, self._option, None, self._camera, everything, self._scene)
            mujoco.mjr_render(self._rectangle, self._scene, context.resources)
            mujoco.mjr_readPixels(self._buffer, None, self._rectangle, context.resources)
            return np.ascontiguousarray(self._buffer[::-1])

    def _context(self) -> _Context:
        if _drawn_in - {os.getpid()}:
            raise RenderingError(
                "this process was forked from one that had drawn, and no graphics driver survives that: start it with "
                'the start method "spawn" (gymnasium.make_vec: vector_kwargs={"context": "spawn"}), or draw nothing '
                "before it is forked"
            )
        if self._here.context is None:
            self._here.context = _Context(self._model, height=self._rectangle.height, width=self._rectangle.width)
        self._here.context.make_current()
        return self._here.context

    def close(self) -> None:
        """Free the calling thread's context. Idempotent; other threads' go with the threads."""
        if self._here.context is not None:
            self._here.context.free()
            self._here.context = None
