"""The folder of models, for its owner: what lies in it, bringing more, reading all of it; knows no queue and no bot."""
