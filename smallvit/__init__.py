"""Vision transformers for small data: the tested code behind the book.

Names are imported when they are first used, so that `import smallvit` and the help of the command
line do not wait for Keras. The layers are imported right after Keras, so that it finds them in
saved models.
"""

import sys
from importlib import import_module
from importlib.machinery import ModuleSpec, PathFinder
from typing import Any

_MODULES = {
    "layers.sizes": "clamp_window pad_to_multiple to_pair",
    "layers.windows": "window_partition window_reverse",
    "layers.position": "get_relative_position_index",
    "layers.masks": "get_attn_mask get_diagonal_mask",
    "layers.patches": "PatchEmbed PatchMerging ShiftedPatchTokenization patchify shift_diagonally",
    "layers.tokens": "ClassToken PositionEmbedding",
    "layers.attention": (
        "LocalitySelfAttention LocalityWindowAttention SelfAttention WindowAttention attend"
    ),
    "layers.blocks": "DropPath Mlp SwinTransformerBlock TransformerBlock",
    "models.swin": "SL_SWIN_PAPER SWIN_KERAS SWIN_PAPER SwinConfig swin_transformer",
    "models.vit": ("SL_VIT_KERAS SL_VIT_PAPER VIT_KERAS VIT_PAPER VitConfig vision_transformer"),
    "models.convnet": "ConvNetConfig convolutional_network",
    "models.cost": "count_macs count_parameters",
    "models.inside": "get_scales look_inside",
    "data.cifar": "load_cifar100",
    "data.datasets": "load_dataset",
    "data.shapes": "shapes100",
    "training.build": "build_model",
    "training.recipes": "RECIPES get_recipe",
    "training.loop": "train",
    "training.pretrained": "load_pretrained load_run predict prepare_images",
}
_MODULE_OF = {name: module for module, names in _MODULES.items() for name in names.split()}

__all__ = sorted(_MODULE_OF)


def __getattr__(name: str) -> Any:
    if name not in _MODULE_OF:
        raise AttributeError(f"module 'smallvit' has no attribute {name!r}")
    return getattr(import_module(f"smallvit.{_MODULE_OF[name]}"), name)


def __dir__() -> list[str]:
    return [*globals(), *__all__]


class _RegisterLayers(PathFinder):
    """Finder of Keras that has it register this package's layers as soon as it is imported.

    Keras loads a saved model only if the classes of its layers are registered.
    """

    @classmethod
    def find_spec(cls, name: str, *args: Any) -> ModuleSpec | None:
        spec = super().find_spec(name, *args) if name == "keras" else None
        if spec is not None:
            execute = spec.loader.exec_module

            def execute_and_register(module: Any) -> None:
                sys.meta_path.remove(cls)  # it has served
                execute(module)
                import_module("smallvit.layers")

            spec.loader.exec_module = execute_and_register
        return spec


if "keras" in sys.modules:
    import_module("smallvit.layers")
else:
    sys.meta_path.insert(0, _RegisterLayers)
