"""Networks that come with the package, and weights that authors publish."""

from .bs4nn import bs4nn_mnist as bs4nn_mnist
from .published import load_published_weights as load_published_weights
from .tssl_bp import TSSLNetwork as TSSLNetwork
