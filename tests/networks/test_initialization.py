"""What encoders start from: every weight of the file arrives, nothing else changes, frozen ones stay."""

import copy

import pytest
import torch
from safetensors.torch import save_file

from dymo_med.networks import initialize_encoders
from dymo_med.networks.nets import TIP, ImageEncoder, MultimodalTransformer, TableEncoder
from dymo_med.utils import save_weights

SIZES = {"block": "bottleneck", "layers": [1, 2, 1, 1], "channels": [4, 4, 6, 8]}


def encoders(digest="ab" * 32, **sizes):
    image = ImageEncoder(3, 32, **SIZES | sizes)
    return image, TableEncoder([2, 3], 1, dim=8, n_blocks=1, n_heads=2, schema_digest=digest)


def classifier(image, table):
    return MultimodalTransformer({"image": image, "table": table}, 2, dim=8, n_heads=2, embedding_dim=4)


def imagenet():
    """A classifier as torchvision names and shapes it, of the sizes above, with values that nothing else has."""
    state = {"conv1.weight": torch.full((4, 3, 7, 7), 0.1)}

    def norm(name, width):
        for number, part in enumerate(("weight", "bias", "running_mean", "running_var")):
            state[f"{name}.{part}"] = torch.full((width,), 0.2 + number)
        state[f"{name}.num_batches_tracked"] = torch.tensor(7)

    norm("bn1", 4)
    width_in = 4
    for stage, (width, n_blocks) in enumerate(zip((4, 4, 6, 8), (1, 2, 1, 1), strict=True), start=1):
        for block in range(n_blocks):
            name = f"layer{stage}.{block}"
            for number, (n_out, n_in, edge) in enumerate(
                ((width, width_in, 1), (width, width, 3), (4 * width, width, 1))
            ):
                state[f"{name}.conv{number + 1}.weight"] = torch.full(
                    (n_out, n_in, edge, edge), 0.01 * (number + stage)
                )
                norm(f"{name}.bn{number + 1}", n_out)
            if block == 0:
                state[f"{name}.downsample.0.weight"] = torch.full((4 * width, width_in, 1, 1), 0.3)
                norm(f"{name}.downsample.1", 4 * width)
            width_in = 4 * width
    return state | {"fc.weight": torch.zeros(1000, 32), "fc.bias": torch.zeros(1000)}


def start(initialization, path=None, freeze=False, parts=None):
    image, table = parts or encoders()
    network = classifier(image, table)
    files = dict.fromkeys(("imagenet", "tip"), path)
    return initialize_encoders(network, image, table, initialization=initialization, files=files, freeze=freeze)


@pytest.mark.parametrize("ending", ["pth", "safetensors"])
def test_imagenet_fills_the_whole_image_encoder_and_nothing_else(tmp_path, ending):
    state, path = imagenet(), tmp_path / f"resnet.{ending}"
    save_weights(path, state) if ending == "pth" else save_file(state, path)
    parts = encoders()
    table_before = copy.deepcopy(parts[1].state_dict())
    network = start("imagenet", path, parts=parts)
    own = network.encoders["image"].network.state_dict()
    assert own.keys() == {name for name in state if not name.startswith("fc.")}
    assert all(torch.equal(value, state[name]) for name, value in own.items())
    assert all(torch.equal(value, table_before[name]) for name, value in network.encoders["table"].state_dict().items())
    assert all(parameter.requires_grad for parameter in network.parameters())


def test_counters_may_be_absent_but_nothing_else(tmp_path):
    state = {name: value for name, value in imagenet().items() if not name.endswith("num_batches_tracked")}
    save_weights(tmp_path / "old.pth", state)
    assert start("imagenet", tmp_path / "old.pth").encoders["image"].network.bn1.num_batches_tracked == 0
    del state["layer2.1.bn2.running_mean"]
    save_weights(tmp_path / "old.pth", state)
    with pytest.raises(ValueError, match=r"old.pth lacks 1 entries, first 'layer2.1.bn2.running_mean'"):
        start("imagenet", tmp_path / "old.pth")


@pytest.mark.parametrize(
    ("sizes", "line"),
    [
        ({"channels": [4, 4, 6, 10]}, r"'layer4.0.\S+' has shape \(.*\) in r.pth and \(.*\) in the network"),
        ({"layers": [1, 1, 1, 1]}, r"r.pth has in excess 18 entries, first 'layer2.1.bn1.bias'"),
        ({"block": "basic"}, r"r.pth has in excess \d+ entries, first 'layer1.0.bn3.bias'"),
    ],
)
def test_other_sizes_end_with_one_line(tmp_path, sizes, line):
    save_weights(tmp_path / "r.pth", imagenet())
    with pytest.raises(ValueError, match=f"weights must fit ResNetFeatureMap, however: {line}") as caught:
        start("imagenet", tmp_path / "r.pth", parts=encoders(**sizes))
    assert "\n" not in str(caught.value)


def save_tip(path, digest="ab" * 32):
    tip = TIP(*encoders(digest), n_blocks=1, n_heads=2, projection_dim=4)
    save_weights(path, tip.state_dict())
    return tip


def test_tip_fills_both_encoders(tmp_path):
    tip = save_tip(tmp_path / "tip.pt")
    network = start("tip", tmp_path / "tip.pt")
    for own, pretrained in (("image", tip.encoder_imaging), ("table", tip.encoder_tabular)):
        for name, value in network.encoders[own].state_dict().items():
            assert torch.equal(value, pretrained.state_dict()[name]), name


def test_tip_of_another_schema_is_refused(tmp_path):
    save_tip(tmp_path / "tip.pt", "cd" * 32)
    with pytest.raises(
        ValueError, match=r"tip.pt was trained with schema cdcdcdcdcdcd and the cohort has abababababab"
    ):
        start("tip", tmp_path / "tip.pt")


def train_step(network):
    """One step as a trainer does it: training mode, loss, optimizer over what has gradients."""
    network.train()
    optimizer = torch.optim.SGD([parameter for parameter in network.parameters() if parameter.requires_grad], lr=0.1)
    table = torch.tensor([[1.0, 2.0, 0.5], [0.0, 1.0, -0.5]])
    network(torch.rand(2, 3, 32, 32), table).square().sum().backward()
    optimizer.step()
    return sum(parameter.numel() for group in optimizer.param_groups for parameter in group["params"])


@pytest.mark.parametrize("freeze", [True, False])
def test_frozen_encoders_stay_as_they_are(tmp_path, freeze):
    save_tip(tmp_path / "tip.pt")
    network = start("tip", tmp_path / "tip.pt", freeze=freeze)
    before = copy.deepcopy(network.state_dict())
    n_optimized = train_step(network)
    after = network.state_dict()
    changed = {name for name in after if not torch.equal(after[name].nan_to_num(), before[name].nan_to_num())}
    n_own = sum(p.numel() for name, p in network.named_parameters() if not name.startswith("encoders."))
    n_all = sum(p.numel() for p in network.parameters())
    assert any(name.startswith("classifier.") for name in changed)
    assert ("encoders.image.network.bn1.running_mean" in changed) is not freeze
    assert any(name.startswith("encoders.") for name in changed) is not freeze
    assert n_optimized == (n_own if freeze else n_all)
    assert network.training
    assert network.encoders["image"].network.bn1.training is not freeze


@pytest.mark.parametrize("initialization", ["scratch", "imagenet"])
def test_random_encoders_cannot_be_frozen(tmp_path, initialization):
    with pytest.raises(ValueError, match=f"however: initialization='{initialization}' leaves random weights"):
        start(initialization, tmp_path / "none", freeze=True)


def test_text_is_no_switch():
    with pytest.raises(TypeError, match=r"freeze_encoders must be True or False, however: 'false'; on a command line"):
        start("scratch", freeze="false")


def test_unknown_initialization():
    with pytest.raises(ValueError, match=r"one of \['scratch', 'imagenet', 'tip'\], however: initialization='zeros'"):
        start("zeros")


def test_absent_file_names_the_option_and_the_choices(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"pass --imagenet_file, or choose --initialization scratch or tip"):
        start("imagenet", tmp_path / "none.pth")


def test_damaged_safetensors(tmp_path):
    (tmp_path / "r.safetensors").write_bytes(b"no header")
    with pytest.raises(ValueError, match=r"r.safetensors is not a safetensors file \(.*\): it is damaged"):
        start("imagenet", tmp_path / "r.safetensors")


def test_scratch_leaves_everything_as_it_is():
    image, table = encoders()
    network = classifier(image, table)
    before = copy.deepcopy(network.state_dict())
    assert initialize_encoders(network, image, table) is network
    assert all(torch.equal(v.nan_to_num(), before[name].nan_to_num()) for name, v in network.state_dict().items())
