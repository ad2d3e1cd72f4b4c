"""The checks of ``ferengine doctor``: each a small function without arguments, listed in ``registry``."""
