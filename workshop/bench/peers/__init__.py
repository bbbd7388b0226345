"""Other programs that draw with Stable Diffusion, beside Easel on this machine; none of them is a dependency of Easel."""
