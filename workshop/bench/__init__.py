"""The benchmark: Easel beside plain diffusers, in one process; it loads torch, and knows neither Discord nor the bot."""
