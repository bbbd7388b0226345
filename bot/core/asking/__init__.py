"""From a wish to an admitted job: what is offered, what it costs, and who may have it."""
