"""Networks: encoders of one modality, the multimodal classifier, and TIP."""

from dymo_med.networks.nets.conv_decoder import ConvDecoder
from dymo_med.networks.nets.conv_encoder import ConvEncoder
from dymo_med.networks.nets.encoder import ModalityEncoder
from dymo_med.networks.nets.image_encoder import ImageEncoder, ResNetFeatureMap
from dymo_med.networks.nets.mopoe import MoPoE, PosteriorEncoder
from dymo_med.networks.nets.multimodal_transformer import MultimodalTransformer
from dymo_med.networks.nets.table_encoder import TableEncoder
from dymo_med.networks.nets.tip import TIP

__all__ = [
    "TIP",
    "ConvDecoder",
    "ConvEncoder",
    "ImageEncoder",
    "MoPoE",
    "ModalityEncoder",
    "MultimodalTransformer",
    "PosteriorEncoder",
    "ResNetFeatureMap",
    "TableEncoder",
]
