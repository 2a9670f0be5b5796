"""Vision transformers for small data: the tested code behind the book.

Names are imported when they are first used, so that `import smallvit` and the help of the command
line do not wait for Keras.
"""

from importlib import import_module
from typing import Any

_MODULES = {
    "sizes": ["clamp_window", "pad_to_multiple", "to_pair"],
    "windows": ["window_partition", "window_reverse"],
    "position": ["get_relative_position_index"],
    "masks": ["get_attn_mask", "get_diagonal_mask"],
    "patches": [
        "ClassToken",
        "PatchEmbed",
        "PatchMerging",
        "PositionEmbedding",
        "ShiftedPatchTokenization",
        "patchify",
        "shift_diagonally",
    ],
    "attention": ["LocalitySelfAttention", "WindowAttention", "attend"],
    "blocks": ["DropPath", "Mlp", "SwinTransformerBlock", "TransformerBlock"],
    "swin": ["SwinConfig", "swin_transformer"],
    "vit": ["VitConfig", "vision_transformer"],
    "inside": ["get_temperatures", "look_inside"],
    "data": ["load_cifar100"],
    "shapes": ["shapes100"],
    "recipes": ["RECIPES", "get_recipe"],
    "training": ["train"],
}
_MODULE_OF = {name: module for module, names in _MODULES.items() for name in names}

__all__ = sorted(_MODULE_OF)


def __getattr__(name: str) -> Any:
    if name not in _MODULE_OF:
        raise AttributeError(f"module 'smallvit' has no attribute {name!r}")
    return getattr(import_module(f"smallvit.{_MODULE_OF[name]}"), name)


def __dir__() -> list[str]:
    return [*globals(), *__all__]
