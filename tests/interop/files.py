"""Files as the authors of DyMo and TIP publish them, made from random arrays under the published names."""

import contextlib
import sys
import types

import numpy as np
import torch

from tests.networks import build, weights
from tests.selection import oracle

LAYERS = (1, 1, 1, 1)
DISTANCES = {"cosine": "cosine_similarity", "squared_euclidean": "squared_euclidean"}


class _Node:
    """What a configuration object keeps, under whatever class name it is pickled."""

    def __init__(self, **state):
        self.__dict__.update(state)


@contextlib.contextmanager
def fake_package(*dotted_names):
    """Register classes under names of a package that is not installed, for as long as something is pickled."""
    made, modules = {}, {}
    for dotted in dotted_names:
        module, _, name = dotted.rpartition(".")
        parts = module.split(".")
        for end in range(1, len(parts) + 1):
            modules.setdefault(".".join(parts[:end]), types.ModuleType(".".join(parts[:end])))
        made[name] = type(name, (_Node,), {"__module__": module})
        setattr(modules[module], name, made[name])
    saved = {name: sys.modules.get(name) for name in modules}
    sys.modules.update(modules)
    try:
        yield made
    finally:
        for name, module in saved.items():
            if module is None:
                del sys.modules[name]
            else:
                sys.modules[name] = module


OMEGACONF = (
    "omegaconf.dictconfig.DictConfig",
    "omegaconf.listconfig.ListConfig",
    "omegaconf.nodes.AnyNode",
    "omegaconf.base.ContainerMetadata",
    "omegaconf.base.Metadata",
)


def as_config(value, made, parent=None):
    """Nest stand-ins of omegaconf's classes as the package itself does, parents included."""
    about = {"ref_type": dict, "object_type": None, "optional": True, "flags": {}, "flags_root": False}
    if isinstance(value, dict):
        node = made["DictConfig"](_metadata=made["ContainerMetadata"](**about), _parent=parent, _flags_cache=None)
        node._content = {key: as_config(item, made, node) for key, item in value.items()}
    elif isinstance(value, list):
        node = made["ListConfig"](_metadata=made["ContainerMetadata"](**about), _parent=parent, _flags_cache=None)
        node._content = [as_config(item, made, node) for item in value]
    else:
        node = made["AnyNode"](_metadata=made["Metadata"](**about), _parent=parent, _flags_cache=None, _val=value)
    return node


def tensors(arrays):
    """Arrays as an ordered state dictionary, parameters as parameters."""
    state = torch.nn.Module().state_dict()  # an OrderedDict with version metadata, as modules give it
    for name, value in arrays.items():
        state[name] = torch.as_tensor(value)
    return state


def write_classifier(path, arrays, *, metric="cosine", dataset="CAD", heads=4, settings=None, **extra):
    if settings is None:
        settings = {
            "dataset_name": dataset,
            "modality_names": ["img", "tabular"],
            dataset: {"distance_metric": DISTANCES[metric], "transformer_heads": heads, "transformer_drop": 0.0},
        }
    with fake_package(*OMEGACONF) as made:
        content = {
            "epoch": 17,
            "state_dict": tensors(arrays),
            "optimizer": {"state": {0: {"step": torch.tensor(3.0), "exp_avg": torch.zeros(2)}}, "param_groups": []},
            "scheduler": None,
            "hyper_parameters": as_config(settings, made),
            "best_val_score": 0.71,
            **extra,
        }
        torch.save(content, path)
    return path


def write_tip(path, arrays, *, heads=True, **extra):
    named = dict(arrays)
    if heads:
        for name, value in weights.tip_heads().items():
            head, _, rest = name.partition(".")
            named[name if head == "itm_head" else f"{head}.layers.{rest}"] = value
    names = (*OMEGACONF, "pytorch_lightning.callbacks.model_checkpoint.ModelCheckpoint")
    with fake_package(*names) as made:
        content = {
            "epoch": 499,
            "global_step": 1000,
            "pytorch-lightning_version": "1.6.4",
            "state_dict": tensors(named),
            "loops": {"fit_loop": {"state_dict": {}}},
            "callbacks": {made["ModelCheckpoint"]: {"best_model_score": torch.tensor(0.5)}},
            "optimizer_states": [{"state": {}, "param_groups": [{"lr": 1e-4}]}],
            "lr_schedulers": [{"base_lrs": [3e-4]}],
            "hparams_name": "hparams",
            "hyper_parameters": as_config({"multimodal_embedding_dim": 12, "num_cat": 3}, made),
            "hparams_type": made["DictConfig"],
            **extra,
        }
        torch.save(content, path)
    return path


def statistics_arrays(arrays, metric, inputs):
    """Class statistics within reach of the features of a batch, so that similarities are neither 0 nor 1."""
    network = weights.load_arrays(build.new_classifier(metric, layers=LAYERS), arrays)
    with torch.no_grad():
        z = network(inputs["image"].nan_to_num(), inputs["table"].nan_to_num(), subsets=network.subsets).embedding
    prototypes = torch.stack([z[:, k::3].mean(1) for k in range(3)], dim=1)
    spread = (z.mean(1, keepdim=True) - z).norm(dim=-1).square().mean(1).sqrt()
    std = spread.unsqueeze(1) * torch.tensor([0.8, 1.0, 1.2])
    return oracle.OracleStatistics(oracle.subsets_of(2), prototypes.numpy(), std.numpy(), prototypes.mean(0).numpy())


def write_statistics(path, statistics, *, n_modalities=2, order=None, **changes):
    """Write class statistics; ``order`` permutes the rows of the file."""
    order = list(range(len(statistics.subsets))) if order is None else order
    masks = [tuple(m not in statistics.subsets[row] for m in range(n_modalities)) for row in order]
    content = {
        "prototypes": torch.as_tensor(statistics.prototypes[order]).float(),
        "overall_prototypes": torch.as_tensor(statistics.overall).float(),
        "dist_std": torch.as_tensor(statistics.std[order]).float(),
        "t_dist_params": torch.zeros(len(order), statistics.std.shape[1], 3),
        "id2subset": dict(enumerate(masks)),
        "subset2id": {mask: row for row, mask in enumerate(masks)},
    }
    content.update(changes)
    torch.save({name: value for name, value in content.items() if value is not None}, path)
    return path


def write_lengths(path, lengths=None):
    torch.save([*weights.CARDINALITIES, *[1] * weights.N_NUMBERS] if lengths is None else lengths, path)
    return path


def classifier_arrays(metric="cosine", seed=0):
    arrays = weights.classifier_arrays(seed, layers=LAYERS)
    if metric == "squared_euclidean":  # keep confidences away from 1
        for name in ("projection.weight", "projection.bias"):
            arrays[name] = arrays[name] * 0.15
    return arrays


def random_statistics(n_modalities, n_classes, dim, seed=0):
    rng = np.random.default_rng(seed)
    subsets = oracle.subsets_of(n_modalities)
    prototypes = rng.normal(size=(len(subsets), n_classes, dim))
    prototypes *= 0.9 / np.linalg.norm(prototypes, axis=-1, keepdims=True)
    std = rng.uniform(0.3, 0.9, (len(subsets), n_classes))
    return oracle.OracleStatistics(subsets, prototypes, std, prototypes.mean(0))
