"""Model families, one module each: how its pipeline encodes, prepares, denoises and decodes; knows no queue and no job."""
