"""Where a model computes, whether it fits there, and by what its pixels are told; knows no request."""
