"""Convert records and settings of older versions to the current form."""

_CIFAR100 = "30324f75ecaa0f624929a77160ee2d7ad11e604148951c26609d42eb51cef6ff"
"""`data_fingerprint` of the published images; any could be called so."""

_FIRST_TRANSFORMS = [
    {"step": "RandomFlip"},
    {"step": "Normalize", "mean": [0.0, 0.0, 0.0], "std": [1.0, 1.0, 1.0]},
]
"""What every run did to images before recipes said it."""


def upgrade_record(fields: dict) -> dict:
    """The fields of a record, from schema 1 to schema 2."""
    fields = upgrade_settings(fields)
    del fields["complete"], fields["seconds"]  # now derived
    sitting = {name: fields.pop(name) for name in ("commit", "device", "versions")}
    fields["sittings"] = [{**sitting, "epochs": len(fields["history"])}]
    fields["published_data"] = fields["data_fingerprint"] == _CIFAR100
    return {"classes": [], "image_size": [32, 32], **fields}


def upgrade_settings(settings: dict) -> dict:
    """A run's settings, from schema 1 to schema 2."""
    return {"precision": "float32", **settings, "config": _upgrade_config(settings["config"])}


def _upgrade_config(config: dict) -> dict:
    steps = config.get("steps", _FIRST_TRANSFORMS)
    config = {name: value for name, value in config.items() if name != "steps"}
    config["transforms"] = [_named(step, step["step"], "step") for step in steps]
    config["model"] = _upgrade_model(config["model"])
    kinds = {"schedule": "Cosine", "mixing": "CutMixOrMixup", "published": "Published"}
    present = {name: kind for name, kind in kinds.items() if config.get(name)}
    config |= {name: _named(config[name], kind) for name, kind in present.items()}
    return {"parameters": None, **config}


def _upgrade_model(model: dict) -> dict:
    if "final_dim" in model:
        return {"class": "ConvNetConfig", **model}
    model = dict(model)
    model.pop("position_initializer", None)  # the default, in all runs of that time
    for ending, initializer in model.pop("initializers", []):
        if name := _INITIALIZERS.get(ending):
            model[name] = _without_seed(initializer)
    last = model.pop("drop_path_rate", 0.1)
    model["drop_path_rates"] = [0.0 if "depths" in model else last, last]
    if "depths" in model:
        return {"class": "SwinConfig", "patch_norm": model["norm"], **model}
    if "dim" in model:
        model["embed_dim"] = model.pop("dim")
    if "class_token" in model:
        model["pool"] = "token" if model.pop("class_token") else "flatten"
    # Every locality self-attention learnt a multiplier, which is still the default.
    return {"class": "VitConfig", **model}


_INITIALIZERS = {
    "kernel": "kernel_initializer",
    "qkv/kernel": "qkv_initializer",
    "attn/proj/kernel": "proj_initializer",
    "relative_position_bias_table": "relative_position_bias_initializer",
    "position_embedding/position": "position_initializer",
    "class_token/token": "token_initializer",
}
"""What weights whose paths had these endings start by. One more, of the paper's Swins, is left out:
their other kernels started otherwise as well."""


def _without_seed(initializer: str | dict) -> str | dict:
    if isinstance(initializer, str):
        return initializer
    config = {name: x for name, x in initializer["config"].items() if name not in ("seed", "mean")}
    return {"class_name": initializer["class_name"], "config": config}


def _named(fields: dict, kind: str, *dropped: str) -> dict:
    """A dataclass as `Recipe.to_dict` writes it down."""
    return {"class": kind, **{k: v for k, v in fields.items() if k not in dropped}}
