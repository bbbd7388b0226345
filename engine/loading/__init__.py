"""From files to a model that is ready to draw; knows no request and no queue."""
