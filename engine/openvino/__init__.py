"""A model's networks computed by OpenVINO in torch's stead, on processors: converted, kept, measured; knows no request."""
