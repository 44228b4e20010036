"""The pictures of an environment."""

from collections.abc import Callable
from typing import Any, final

from dualsys.messages import FloatArray, ImageArray
from dualsys.sim_envs.images import LazyImages, turned
from dualsys.sim_envs.options import EnvironmentOptions
from dualsys.sim_envs.rendering import Renderer


@final
class Pictures:
    """A renderer of each size, made when it is first needed, and the policy's pictures, which are of the present alone.

    Args:
        options: Whether pictures are drawn at every step, and how they are turned.
        cameras: The policy's.
        render_camera: A picture of one of them, the right way up.
    """

    def __init__(
        self, options: EnvironmentOptions, cameras: tuple[str, ...], render_camera: Callable[[str], ImageArray]
    ) -> None:
        self._options, self._cameras, self._render_camera = options, cameras, render_camera
        self._renderers: dict[tuple[int, int], Renderer] = {}
        self._moment = 0

    def move_on(self) -> None:
        """The environment is about to change: what wasn't read until now can't be taken any more."""
        self._moment += 1

    def lazily(self) -> LazyImages:
        """The policy's, each drawn when it is first read."""
        return LazyImages(self._cameras, self._of_policy, lambda: self._moment)

    def beside(self, state: FloatArray) -> dict[str, Any]:
        """Gymnasium's observation: `state`, and `images` unless they are drawn on demand."""
        if self._options.images == "on-demand":
            return {"state": state}
        return {"state": state, "images": {camera: self._of_policy(camera) for camera in self._cameras}}

    def draw(self, model: Any, data: Any, camera: str, size: tuple[int, int], **looks: Any) -> ImageArray:
        """A picture of `size` (height, width); `looks` are `Renderer`'s, the same ones every time."""
        if size not in self._renderers:
            self._renderers[size] = Renderer(model, height=size[0], width=size[1], **looks)
        return self._renderers[size].render(data, camera)

    def close(self) -> None:
        """Free the renderers: they hold the meshes of the scene. Idempotent."""
        for renderer in self._renderers.values():
            renderer.close()
        self._renderers.clear()

    def _of_policy(self, camera: str) -> ImageArray:
        return turned(self._render_camera(camera), self._options.image_turn)
