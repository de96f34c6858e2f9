"""Images: OCI layouts and saved archives, opened, built, unpacked into a store, and run."""

from nsbox.image.config import Config
from nsbox.image.image import Image
from nsbox.image.layer import Layer
from nsbox.image.limits import Limits
from nsbox.image.store import Store, Unpacked
from nsbox.progress import Progress, on_bar

__all__ = ["Config", "Image", "Layer", "Limits", "Progress", "Store", "Unpacked", "on_bar"]
